package sign

import (
	"fmt"
	"time"
)

// Refusal is why a request was not accepted. It is answered with 401, after
// Receiver.Ask has set what the sender needs to do better.
type Refusal struct {
	// Reason names the field and what is wrong with it. It tells nothing that
	// a stranger may not know.
	Reason string
	// Challenge is the nonce with which the request will be in time; "" when
	// time is not what is wrong.
	Challenge string
	// Skew is how far the sender's clock was ahead of ours when it signed, in
	// whole seconds and within 31 years. It is set together with Challenge.
	Skew time.Duration
}

// Error returns the reason.
func (r *Refusal) Error() string { return "request not accepted: " + r.Reason }

// refuse makes a Refusal without a challenge.
func refuse(format string, values ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, values...)}
}
