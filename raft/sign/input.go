package sign

import (
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/dunglas/httpsfv"
)

const (
	label = "vera" // the one signature of a request
	alg   = "ed25519"
	tag   = "vera"

	maxInput  = 4096 // bytes of Signature-Input and of Accept-Signature
	maxFields = 32   // header fields of a signed request
)

// input is what Signature-Input says: what is covered, and how.
type input struct {
	components []string
	created    int64 // Unix time in seconds, by the sender's clock
	expires    int64 // likewise
	nonce      string
	keyID      string
}

// String is the inner list with its parameters, in the only form that is
// accepted. Nothing in it needs to be escaped.
func (in input) String() string {
	b := make([]byte, 0, 512)
	b = append(b, '(')
	for i, name := range in.components {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, '"')
	}
	b = append(b, ");created="...)
	b = strconv.AppendInt(b, in.created, 10)
	b = append(b, ";expires="...)
	b = strconv.AppendInt(b, in.expires, 10)
	b = append(b, `;nonce="`...)
	b = append(b, in.nonce...)
	b = append(b, `";keyid="`...)
	b = append(b, in.keyID...)
	return string(append(b, `";alg="`+alg+`";tag="`+tag+`"`...))
}

// parseInput reads Signature-Input, which must be what String would have
// written for these components.
func parseInput(text string, components []string) (input, *Refusal) {
	list, refusal := innerList(text, "signature-input")
	if refusal != nil {
		return input{}, refusal
	}
	var covered []string
	for _, item := range list.Items {
		name, _ := item.Value.(string)
		covered = append(covered, name)
	}
	for _, name := range components {
		if !slices.Contains(covered, name) {
			return input{}, refuse("signature-input: %s is not covered", name)
		}
	}
	in := input{components: components}
	var algorithm, purpose string
	if !parameter(list, "alg", &algorithm) || algorithm != alg {
		return input{}, refuse("signature-input: alg must be %s", alg)
	}
	if !parameter(list, "tag", &purpose) || purpose != tag {
		return input{}, refuse("signature-input: tag must be %s", tag)
	}
	if !parameter(list, "created", &in.created) || !parameter(list, "expires", &in.expires) ||
		!parameter(list, "nonce", &in.nonce) || !parameter(list, "keyid", &in.keyID) {
		return input{}, refuse("signature-input: created, expires, nonce or keyid is missing")
	}
	if text != label+"="+in.String() {
		return input{}, refuse("signature-input: is not in the form that peers write")
	}
	return in, nil
}

// innerList reads a field that holds one label with an inner list.
func innerList(text, field string) (httpsfv.InnerList, *Refusal) {
	if len(text) > maxInput {
		return httpsfv.InnerList{}, refuse("%s: longer than %d bytes", field, maxInput)
	}
	all, err := httpsfv.UnmarshalDictionary([]string{text})
	if err != nil {
		return httpsfv.InnerList{}, refuse("%s: is not a dictionary", field)
	}
	if n := len(all.Names()); n != 1 {
		return httpsfv.InnerList{}, refuse("%s: %d labels, must be 1", field, n)
	}
	member, _ := all.Get(label)
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return httpsfv.InnerList{}, refuse("%s: must be %s=(...)", field, label)
	}
	return list, nil
}

// parameter reads a parameter of a list, when it is there and of that type.
func parameter[T any](list httpsfv.InnerList, name string, to *T) bool {
	value, _ := list.Params.Get(name)
	read, ok := value.(T)
	if ok {
		*to = read
	}
	return ok
}

// spellSignature is the value of the field Signature.
func spellSignature(signature []byte) string {
	return label + "=:" + base64.StdEncoding.EncodeToString(signature) + ":"
}

// parseSignature reads the field Signature, which must be what spellSignature
// would have written.
func parseSignature(text string) ([]byte, *Refusal) {
	if len(text) > maxInput {
		return nil, refuse("signature: longer than %d bytes", maxInput)
	}
	all, err := httpsfv.UnmarshalDictionary([]string{text})
	if err != nil {
		return nil, refuse("signature: is not a dictionary")
	}
	if n := len(all.Names()); n != 1 {
		return nil, refuse("signature: %d labels, must be 1", n)
	}
	member, _ := all.Get(label)
	item, _ := member.(httpsfv.Item)
	signature, _ := item.Value.([]byte)
	if text != spellSignature(signature) {
		return nil, refuse("signature: must be %s=:...:", label)
	}
	return signature, nil
}
