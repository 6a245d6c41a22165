package vera

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// fields is a set of the fields that a request may have.
type fields uint16

// The fields, in the order in which they are checked.
const (
	fieldRID fields = 1 << iota
	fieldAction
	fieldPath
	fieldVersion
	fieldIfMatch
	fieldOnce
	fieldLimit
	fieldItems
	fieldConsistent
	fieldMinIndex
	fieldSince
	fieldData
)

// fieldNames are the names on the wire, in the order of the constants.
var fieldNames = [...]string{
	"rid", "action", "path", "version", "ifMatch", "once", "limit", "items", "consistent", "minIndex", "since", "data",
}

// index returns the place of a single field in that order.
func (f fields) index() int { return bits.TrailingZeros16(uint16(f)) }

// grammar is what one action must and may have besides rid and action.
type grammar struct {
	action      Action
	needs, uses fields
}

var grammars = [...]grammar{
	{ActionGet, fieldPath, fieldLimit | fieldConsistent | fieldMinIndex},
	{ActionPush, fieldPath | fieldData, fieldIfMatch | fieldOnce | fieldLimit},
	{ActionWatch, fieldPath, fieldLimit | fieldItems | fieldSince},
	{ActionUnwatch, fieldPath, 0},
	{ActionUpdate, fieldPath | fieldVersion | fieldData, fieldIfMatch | fieldLimit},
	{ActionRemove, fieldPath | fieldVersion, fieldIfMatch | fieldLimit},
	{ActionSession, 0, 0},
	{ActionClose, 0, 0},
	{ActionPing, 0, 0},
}

// parser reads one message at a time. It is kept for the next, so that a
// message costs no allocation but for what its Request holds.
type parser struct {
	source  bytes.Buffer // over message; the decoder reads it in place
	decoder jsontext.Decoder
	message []byte
	limits  *Limits
	seen    fields
	values  [len(fieldNames)][]byte // the raw JSON of the fields that were seen
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// ParseRequest reads a client's message, strictly: one JSON object of UTF-8
// without duplicate names, in which only the exact names count. Fields that
// the action does not use are ignored, whatever they hold. It keeps nothing of
// message. The error is an *Error; Request.RID is set all the same when a
// well-formed rid was found before the message ended or stopped being JSON.
func ParseRequest(message []byte, l *Limits) (Request, error) {
	p := parsers.Get().(*parser)
	p.message, p.limits = message, l
	request, err := p.request()
	p.forget()
	parsers.Put(p)
	return request, err
}

// forget lets go of the message.
func (p *parser) forget() {
	p.source = bytes.Buffer{}
	p.decoder.Reset(&p.source)
	p.message, p.limits, p.seen = nil, nil, 0
	clear(p.values[:])
}

func (p *parser) request() (Request, error) {
	r := Request{Limit: NoLimit, Items: true}
	broken := p.collect()
	if p.seen&fieldRID != 0 {
		rid, err := p.rid()
		if r.RID = rid; err != nil && broken == nil {
			broken = err
		}
	}
	if broken != nil {
		return r, broken
	}
	g, err := p.grammar()
	if err != nil {
		return r, err
	}
	r.Action = g.action
	if missing := g.needs &^ p.seen; missing != 0 {
		return r, Errorf(InvalidParameter, "%s: missing; %s needs it", fieldNames[missing.index()], g.action)
	}
	for rest := p.seen & (g.needs | g.uses); rest != 0; rest &= rest - 1 {
		if err := p.set(&r, rest&-rest); err != nil {
			return r, err
		}
	}
	return r, nil
}

// collect reads the whole message and keeps where the values of known fields
// are. A nesting that is too deep is told last, for the sake of the rid.
func (p *parser) collect() error {
	p.source = *bytes.NewBuffer(p.message)
	p.decoder.Reset(&p.source)
	if kind := p.decoder.PeekKind(); kind != jsontext.KindBeginObject && kind != jsontext.KindInvalid {
		return Errorf(InvalidParameter, "message: a JSON object")
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return p.notJSON(err)
	}
	for p.decoder.PeekKind() == jsontext.KindString {
		if err := p.member(); err != nil {
			return p.notJSON(err)
		}
	}
	if _, err := p.decoder.ReadToken(); err != nil {
		return p.notJSON(err)
	}
	if _, err := p.decoder.ReadToken(); err != io.EOF {
		return Errorf(InvalidParameter, "message: one JSON object with nothing behind it")
	}
	if depth(p.message) > p.limits.Depth {
		return p.tooDeep()
	}
	return nil
}

// member reads one name and its value.
func (p *parser) member() error {
	name, err := p.decoder.ReadToken()
	if err != nil {
		return err
	}
	known := slices.Index(fieldNames[:], name.String())
	raw, err := p.decoder.ReadValue()
	if err != nil {
		return err
	}
	if known >= 0 {
		end := int(p.decoder.InputOffset())
		p.values[known] = p.message[end-len(raw) : end]
		p.seen |= 1 << known
	}
	return nil
}

// notJSON says why the decoder refused the message.
func (p *parser) notJSON(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return Errorf(InvalidParameter, "message: empty; a JSON object is expected")
	}
	at := min(int(syntax.ByteOffset), len(p.message))
	switch {
	case depth(p.message[:at]) > p.limits.Depth:
		return p.tooDeep()
	case syntax.Err == jsontext.ErrDuplicateName:
		return Errorf(InvalidParameter, "message: the name %.64q occurs twice in one object", syntax.JSONPointer.LastToken())
	}
	return Errorf(InvalidParameter, "message: not JSON at byte %d: %v", at, syntax.Err)
}

func (p *parser) tooDeep() error {
	return Errorf(InvalidParameter, "message: nested too deep; the limit is %d", p.limits.Depth)
}

// grammar returns the row of the action that the message names.
func (p *parser) grammar() (grammar, error) {
	if name, ok := unquote(p.values[fieldAction.index()]); ok {
		for _, g := range grammars {
			if string(name) == string(g.action) {
				return g, nil
			}
		}
	}
	return grammar{}, Errorf(InvalidParameter, "action: one of %s", actionNames())
}

// actionNames lists the actions that a client may ask for.
func actionNames() string {
	var names []string
	for _, g := range grammars {
		names = append(names, string(g.action))
	}
	return strings.Join(names, ", ")
}
