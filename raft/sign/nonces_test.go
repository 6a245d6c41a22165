package sign

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func number(n uint64) (to nonce) {
	binary.BigEndian.PutUint64(to[:], n)
	return to
}

// Compared with one that remembers everything: what was spent is never fresh
// again while it is in time, whatever the clock does and however many there
// are; and while there is room and the clock does not go back, all that was
// never spent is fresh.
func TestNoNonceIsFreshTwice(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s nonces
		type one struct {
			keyID    string
			n        nonce
			deadline int64
		}
		spent := map[one]bool{}
		var past []one
		now, drawn, jumps := int64(1000), uint64(0), seed%2 == 1
		keys := 1 + random.IntN(3*maxKeys)
		again, wrongly := 0, 0
		for range 30_000 {
			switch random.IntN(200) {
			case 0:
				now += int64(random.IntN(20))
			case 1:
				if jumps {
					now += int64(random.IntN(400)) - 200
				}
			}
			drawn++
			x := one{strconv.Itoa(random.IntN(keys)), number(drawn), now + int64(random.IntN(90))}
			if len(past) > 0 && random.IntN(3) == 0 {
				x = past[random.IntN(len(past))]
			}
			if x.deadline < now {
				continue // nobody would ask
			}
			switch found := s.spend(x.keyID, x.n, x.deadline, now); {
			case spent[x] && found == fresh:
				t.Fatalf("seed %d: fresh twice", seed)
			case spent[x]:
				again++
			case found == repeated:
				t.Fatalf("seed %d: never spent, and called repeated", seed)
			case found == forgotten:
				wrongly++
			default:
				spent[x] = true
				past = append(past, x)
			}
		}
		if again == 0 || len(past) == 0 {
			t.Fatalf("seed %d: nothing was tried", seed)
		}
		if !jumps && keys <= maxKeys && wrongly > 0 {
			t.Errorf("seed %d: %d called forgotten while there was room", seed, wrongly)
		}
	}
}

func TestNoncesOfOnePeerAreBounded(t *testing.T) {
	var s nonces
	for i := range uint64(3 * maxNoncesOfKey) {
		if found := s.spend("busy", number(i), 100+int64(i/1000), 50); found != fresh {
			t.Fatalf("nonce %d: %d", i, found)
		}
		if s.total > maxNoncesOfKey {
			t.Fatalf("%d nonces of one peer", s.total)
		}
	}
	if found := s.spend("busy", number(0), 100, 50); found != forgotten {
		t.Errorf("the first, which had to go: %d", found)
	}
	if found := s.spend("other", number(0), 100, 50); found != fresh {
		t.Errorf("another peer, at the time of the first: %d", found)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNoncesOfAllPeersAreBounded(t *testing.T) {
	for what, c := range map[string]struct{ keys, perDeadline uint64 }{
		"each nonce with a deadline of its own": {maxKeys, maxKeys},
		"more peers than there is room for":     {2 * maxKeys, maxKeys / 4},
		"few peers, many deadlines":             {17, 1000},
		"few peers, few deadlines":              {17, 40_000},
		"one deadline":                          {2 * maxKeys, 1 << 60},
	} {
		before := heap()
		var s nonces
		for i := range uint64(3 * maxNonces) {
			keyID := strings.Repeat("k", 37) + strconv.FormatUint(100_000+i%c.keys, 10)
			if found := s.spend(keyID, number(i), 1000+int64(i/c.perDeadline), 990); found == repeated {
				t.Fatalf("%s: nonce %d is called repeated", what, i)
			}
			if s.total > maxNonces || len(s.keys) > maxKeys || s.used.Len() != len(s.keys) {
				t.Fatalf("%s: %d nonces of %d peers (%d)", what, s.total, len(s.keys), s.used.Len())
			}
		}
		sum := 0
		for _, e := range s.keys {
			sum += e.Value.(*window).size
		}
		if sum != s.total {
			t.Errorf("%s: %d nonces, counted as %d", what, sum, s.total)
		}
		used := heap() - before
		t.Logf("%s: %d nonces, %d peers, %d KiB", what, s.total, len(s.keys), used>>10)
		if used > 8<<20 {
			t.Errorf("%s: %d bytes, at most 8 MiB", what, used)
		}
		runtime.KeepAlive(&s)
	}
}

func TestPeerThatWasDroppedDoesNotStartAnew(t *testing.T) {
	var s nonces
	s.spend("first", number(1), 150, 100)
	for i := range maxKeys {
		s.spend(strconv.Itoa(i), number(1), 120, 100)
	}
	if s.keys["first"] != nil {
		t.Fatal("the first was not dropped")
	}
	if found := s.spend("first", number(1), 150, 100); found != forgotten {
		t.Errorf("its nonce: %d", found)
	}
	if found := s.spend("first", number(1), 151, 100); found != fresh {
		t.Errorf("a later one: %d", found)
	}
}

func TestClockThatGoesBackBringsNothingBack(t *testing.T) {
	w := newWorld(t)
	r := w.call()
	w.mustAccept("a call", r)
	start := w.now
	w.now = start.Add(200_000_000_000)
	w.mustAccept("another, later, at which the first is forgotten", w.call())
	w.now = start
	w.mustRefuse("the first when the clock went back", r, "created must be within")
	w.mustAccept("what is new then", w.challenged(w.challenge()))
}
