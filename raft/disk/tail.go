package disk

import hraft "github.com/hashicorp/raft"

// Bounds of the entries kept in memory: as many as two full batches, and no more bytes than this.
const (
	tailEntries = 1024
	tailBytes   = 4 << 20
)

// tail holds the newest entries, since Raft reads back what it has just stored. It shares their bytes with whoever
// stored them: nobody may change those.
type tail struct {
	slots []hraft.Log // entry i at i % tailEntries; none before the first entry
	from  uint64      // the held entries are from..to-1
	to    uint64
	bytes int
}

func entryWeight(l *hraft.Log) int { return len(l.Data) + len(l.Extensions) }

func (t *tail) push(l *hraft.Log) {
	if t.slots == nil {
		t.slots = make([]hraft.Log, tailEntries)
	}
	if l.Index != t.to {
		t.cut(0, 0)
		t.from, t.to = l.Index, l.Index
	}
	t.bytes += entryWeight(l)
	t.to++
	for t.to-t.from > tailEntries || t.bytes > tailBytes && t.from < t.to-1 {
		t.drop(t.from)
		t.from++
	}
	t.slots[l.Index%tailEntries] = *l
}

func (t *tail) drop(i uint64) {
	s := &t.slots[i%tailEntries]
	t.bytes -= entryWeight(s)
	*s = hraft.Log{}
}

// cut forgets all entries outside first..last.
func (t *tail) cut(first, last uint64) {
	for t.from < t.to && t.to-1 > last {
		t.to--
		t.drop(t.to)
	}
	for t.from < t.to && t.from < first {
		t.drop(t.from)
		t.from++
	}
}

func (t *tail) get(i uint64, l *hraft.Log) bool {
	if i < t.from || i >= t.to {
		return false
	}
	*l = t.slots[i%tailEntries]
	return true
}
