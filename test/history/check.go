package history

import (
	"fmt"
	"slices"
	"strings"
)

// Name says what kind of violation it is.
type Name string

// The violations.
const (
	StaleRead           Name = "StaleRead"           // a consistent read was told less than was known before it was asked for
	WrongOrder          Name = "WrongOrder"          // a change has an index that somebody had heard of before it was asked for
	WentBack            Name = "WentBack"            // on one connection an index fell, or minIndex was not reached
	Diverged            Name = "Diverged"            // a list was told in two states of one index
	VersionTwice        Name = "VersionTwice"        // one version was given to two items
	HeadFell            Name = "HeadFell"            // a list's head has a version below an earlier one's
	NotLinearizable     Name = "NotLinearizable"     // no order of a list's operations explains what was told
	Undecided           Name = "Undecided"           // nobody found out in time whether there is one
	LostItem            Name = "LostItem"            // an acknowledged push is not there
	DoubledPush         Name = "DoubledPush"         // one push made two items
	GhostItem           Name = "GhostItem"           // an item that nobody pushed, or whose push was refused
	LostUpdate          Name = "LostUpdate"          // an item in a state that nobody gave it
	ItemOutlivesSession Name = "ItemOutlivesSession" // an item of a session that is over
	LiveSessionEnded    Name = "LiveSessionEnded"    // a session ended though its client was there
	SessionOutlives     Name = "SessionOutlives"     // a session is there, and its client was not for longer than any grace
	HalfItem            Name = "HalfItem"            // a peer has an item on its list or with its session, not both
	MixedLives          Name = "MixedLives"          // a session went on in another life, and its client was not told
	WrongHoldings       Name = "WrongHoldings"       // a session was told that it held what it did not, or not what it did
	LeftTooEarly        Name = "LeftTooEarly"        // an item left before the time for which a ping had promised it to stay
	WrongReason         Name = "WrongReason"         // an item left for a reason that there was not
	WrongDifference     Name = "WrongDifference"     // what a watcher was told does not follow from what it was told before
	WatchBehind         Name = "WatchBehind"         // a watcher was not told of the final state
)

// Violation is something that cannot be true.
type Violation struct {
	Name       Name
	Sentence   string
	Operations []*Operation
}

// String is the sentence, with the operations concerned.
func (v Violation) String() string {
	text := string(v.Name) + ": " + v.Sentence
	for _, o := range v.Operations {
		text += "\n\t" + o.String()
	}
	return text
}

// mostViolations bounds how many of one name are told.
const mostViolations = 20

// checker is a history under examination.
type checker struct {
	*History
	lists      map[string]*list
	violations []Violation
	told       map[Name]int
	safe       map[*Life][]promise // by pings
}

// Check returns every violation, at most twenty of each name.
func (h *History) Check() []Violation {
	c := &checker{History: h, lists: map[string]*list{}, told: map[Name]int{}}
	c.checkOrder()
	c.checkWatches() // also finds states that watchers were told
	c.collect()
	c.checkStates()
	c.checkItems()
	c.checkEndings()
	c.checkLinearizable()
	return c.violations
}

func (c *checker) violate(name Name, operations []*Operation, format string, args ...any) {
	if c.told[name]++; c.told[name] <= mostViolations {
		c.violations = append(c.violations, Violation{name, fmt.Sprintf(format, args...), operations})
	}
}

// Names returns the names of violations, each once, in order.
func Names(all []Violation) []Name {
	var names []Name
	for _, v := range all {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Text is all violations, one below the other.
func Text(all []Violation) string {
	var lines []string
	for _, v := range all {
		lines = append(lines, v.String())
	}
	return strings.Join(lines, "\n")
}
