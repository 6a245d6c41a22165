package state

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vera"
)

// TestTranscripts runs testdata/*.txt. A transcript is blocks with an empty
// line between them: commands, a line of dashes, and what they give. Lines
// that begin with # are for people.
//
//	p: open s grace=2s; watch s /data/a    one entry of the peer p with two commands
//	p#3: …   p.1: …                        with that number, of that incarnation
//	-: expire s since=7                    one that is not numbered
//	list /data/a · session s · doubts · peers · counts · restore · advance
//
// A peer is one letter, a session too; s@4 names a life, s its latest. Numbers
// and incarnations count up by themselves.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			now := newTranscript(t).run(string(text))
			if *rewrite {
				err = os.WriteFile(file, []byte(now), 0o644)
			} else if now != string(text) {
				t.Errorf("%s: it gives\n%s", file, firstDifference(string(text), now))
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			return fmt.Sprintf("line %d: %s\ninstead of\n%s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return "less than the file has"
}

// transcript runs the commands of one file.
type transcript struct {
	t       *testing.T
	machine *Machine
	index   uint64
	next    map[string]*numbering
	lives   map[string]uint64
}

func newTranscript(t *testing.T) *transcript {
	return &transcript{t, New(), 0, map[string]*numbering{}, map[string]uint64{}}
}

// run returns the text with what the commands give now.
func (s *transcript) run(text string) string {
	var out []string
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		ran := false
		for line := range strings.SplitSeq(block, "\n") {
			if strings.HasPrefix(line, "----") {
				break
			}
			out = append(out, line)
			ran = ran || !strings.HasPrefix(line, "#")
		}
		if ran {
			out = append(out, "----")
		}
		for line := range strings.SplitSeq(block, "\n") {
			if strings.HasPrefix(line, "----") {
				break
			}
			if !strings.HasPrefix(line, "#") {
				out = append(out, s.line(line)...)
			}
		}
		if err := s.machine.Check(); err != nil {
			s.t.Errorf("after %q: %v", block, err)
		}
		out = append(out, "")
	}
	return strings.Join(out, "\n")
}

func (s *transcript) line(line string) []string {
	if who, commands, found := strings.Cut(line, ": "); found {
		return s.entry(who, commands)
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "list":
		l, index := s.machine.List(vera.Path(rest))
		return []string{fmt.Sprintf("at %d: etag=%d %s", index, l.ETag(), showList(l))}
	case "session":
		return []string{s.showSession(rest)}
	case "doubts":
		return s.showDoubts()
	case "peers":
		var all []string
		for _, p := range s.machine.Peers() {
			all = append(all, fmt.Sprintf("%c.%d #%d%s", rune(p.Peer), p.Incarnation, p.Sequence, map[bool]string{true: " gone"}[p.Gone]))
		}
		return all
	case "counts":
		return []string{fmt.Sprintf("%+v", s.machine.Counts())}
	case "advance":
		s.index++
		s.machine.Advance(s.index)
		return []string{fmt.Sprintf("applied %d", s.machine.Applied())}
	case "restore":
		return []string{s.restore()}
	}
	s.t.Fatalf("what is %q?", line)
	return nil
}

func (s *transcript) restore() string {
	var b bytes.Buffer
	if _, err := s.machine.Snapshot().WriteTo(&b); err != nil {
		s.t.Fatal(err)
	}
	hash := s.machine.Hash()
	s.machine = New()
	if err := s.machine.Restore(&b); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("applied %d, same hash %v", s.machine.Applied(), s.machine.Hash() == hash)
}

// entry applies "p#3", "open s grace=2s; watch s /data/a".
func (s *transcript) entry(who, commands string) []string {
	s.index++
	var b Batch
	for text := range strings.SplitSeq(commands, "; ") {
		b.Commands = append(b.Commands, s.command(strings.Fields(text)))
	}
	name, number, numbered := strings.Cut(who, "#")
	name, incarnation, named := strings.Cut(name, ".")
	if name != "-" {
		n := s.next[name]
		if n == nil {
			n = &numbering{}
			s.next[name] = n
		}
		if b.Commands[0].Kind == PeerUp && !numbered && !named {
			n.incarnation++
			n.next = 1
		}
		b.Peer, b.Incarnation, b.First = PeerID(name[0]), n.incarnation, n.next
		if numbered {
			b.First = s.number(number)
		}
		if named {
			b.Incarnation = s.number(incarnation)
		}
		if !numbered && !named {
			n.next += uint64(len(b.Commands))
		}
	}
	out := s.machine.Apply(s.index, b.Append(nil))
	for _, c := range out.Sessions {
		if c.What == Opened {
			s.lives[string(c.Session[:1])] = c.Life
		}
	}
	return showOutput(b, out)
}

func (s *transcript) number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// command reads "push s /data/a {"n":1} once=k".
func (s *transcript) command(words []string) Command {
	c := Command{Known: KnowsAll, Limit: vera.NoLimit, Items: true, Owner: "10.0.0.1", SessionItems: 100, ListItems: 100, SessionWatches: 100, Reason: vera.Closed}
	for c.Kind = Push; c.Kind <= PeerGone && c.Kind.String() != words[0]; c.Kind++ {
	}
	if c.Kind > PeerGone {
		return Command{Kind: Skippable | 1, Data: []byte(strings.Join(words, " "))}
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case word[0] == '/':
			c.Path = vera.Path(word)
		case word[0] == '{':
			c.Data = []byte(word)
		case word == "clean":
			c.Clean = true
		case word == "operator":
			c.Reason = vera.Ended
		case key == "grace":
			grace, err := time.ParseDuration(value)
			if err != nil {
				s.t.Fatal(err)
			}
			c.Grace = grace
		case key == "once":
			c.Once = value
		case value != "":
			s.option(&c, key, int(s.number(value)))
		case c.Kind == PeerGone:
			name, incarnation, _ := strings.Cut(word, ".")
			c.Peer, c.Incarnation = PeerID(name[0]), s.number(incarnation)
		default:
			name, life, named := strings.Cut(word, "@")
			c.Session, c.Life = vera.SessionID{name[0]}, s.lives[name]
			if named {
				c.Life = s.number(life)
			}
		}
	}
	return c
}

func (s *transcript) option(c *Command, key string, n int) {
	switch key {
	case "version":
		c.Version = uint64(n)
	case "if":
		c.Conditional, c.IfMatch = true, uint64(n)
	case "since":
		c.Since = uint64(n)
	case "known":
		c.Known = uint64(n)
	case "arrival":
		c.Arrival = uint64(n)
	case "limit":
		c.Limit = n
	case "items":
		c.SessionItems = n
	case "long":
		c.ListItems = n
	case "watches":
		c.SessionWatches = n
	default:
		s.t.Fatalf("what is %s?", key)
	}
}

func showOutput(b Batch, out Output) []string {
	if out.Skipped {
		return []string{fmt.Sprintf("%d: skipped", out.Index)}
	}
	var all []string
	for i, r := range out.Replies {
		line := fmt.Sprintf("%d: %s %s", r.Index, b.Commands[i].Kind, r.Code)
		if r.Message != "" {
			line += " (" + r.Message + ")"
		}
		if r.Version != 0 {
			line += fmt.Sprintf(" version=%d", r.Version)
		}
		if r.Life != 0 {
			line += fmt.Sprintf(" life=%d resumed=%v", r.Life, r.Resumed)
		}
		if r.List != nil {
			line += fmt.Sprintf(" etag=%d %s", r.List.ETag(), showList(r.List))
		}
		all = append(all, line)
	}
	for _, c := range out.Changes {
		all = append(all, fmt.Sprintf("   %s: %s", c.Path, showDiff(c)))
	}
	for _, c := range out.Sessions {
		all = append(all, "   "+showEvent(c))
	}
	return all
}

func showItem(it *vera.Item) string {
	text := fmt.Sprintf("%d(%c)%s", it.Version, it.Session[0], it.Data)
	if it.Updated != 0 {
		text += fmt.Sprintf("*%d", it.Updated)
	}
	return text
}

func showList(l *List) string {
	var items []string
	for it := range l.All() {
		items = append(items, showItem(it))
	}
	return "[" + strings.Join(items, " ") + "]"
}

func showDiff(c Change) string {
	var parts []string
	added, updated, removed := Diff(c.Before, c.After, vera.NoLimit)
	for _, it := range added {
		parts = append(parts, "added "+showItem(it))
	}
	for _, it := range updated {
		parts = append(parts, "updated "+showItem(it))
	}
	for _, it := range removed {
		parts = append(parts, fmt.Sprintf("removed %d(%c) %s", it.Version, it.Session[0], it.Reason))
	}
	return strings.Join(parts, ", ")
}

func showEvent(c SessionChange) string {
	what := [...]string{"", "opened", "attached", "detached", "over", "rewatched"}[c.What]
	text := fmt.Sprintf("session %c@%d %s", c.Session[0], c.Life, what)
	if c.Since != 0 {
		text += fmt.Sprintf(" since=%d", c.Since)
	}
	if c.Grace != 0 {
		text += fmt.Sprintf(" grace=%s", c.Grace)
	}
	if c.What == Over {
		text += " " + c.Reason.String()
	}
	return text
}

func (s *transcript) showSession(name string) string {
	now := s.machine.Session(vera.SessionID{name[0]})
	if now == nil {
		return "over"
	}
	text := fmt.Sprintf("%s@%d grace=%s", name, now.Life(), now.Grace())
	if now.Since() != 0 {
		text += fmt.Sprintf(" missed since=%d for %s", now.Since(), now.Doubt())
	}
	for _, a := range now.Attachments() {
		text += fmt.Sprintf(" on %c.%d", rune(a.Peer), a.Incarnation)
	}
	for held := range now.Items() {
		text += fmt.Sprintf(" holds %d", held.Version)
	}
	for _, w := range now.Watches() {
		text += fmt.Sprintf(" watches %s limit=%d", w.Path, w.Limit)
		if at := now.WatchChanged(w.Path); at != 0 {
			text += fmt.Sprintf(" arrival=%d", at)
		}
	}
	return text
}

func (s *transcript) showDoubts() []string {
	var all []string
	for c := range s.machine.Doubts() {
		all = append(all, showEvent(c))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return []string{"none"}
	}
	return all
}
