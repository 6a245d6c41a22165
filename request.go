package vera

// NoLimit is the limit of a request that has none.
const NoLimit = -1

// Action is what a request asks for.
type Action string

// The actions of clients.
const (
	ActionSession Action = "session"
	ActionGet     Action = "get"
	ActionPush    Action = "push"
	ActionWatch   Action = "watch"
	ActionUnwatch Action = "unwatch"
	ActionUpdate  Action = "update"
	ActionRemove  Action = "remove"
	ActionClose   Action = "close"
	ActionPing    Action = "ping"
)

// The actions of the server.
const (
	ActionNotify Action = "notify"
	ActionState  Action = "state"
)

// Request is one message of a client, checked. Fields that an action does not
// use have their zero value or, for Limit and Items, their default.
type Request struct {
	RID    []byte // the raw JSON of a string or an integer, to be echoed; nil when there was none
	Action Action
	Path   Path   // get push watch unwatch update remove
	Data   []byte // push update: a JSON object, compacted; the request owns it

	Limit       int    // get push watch update remove: the first n items; NoLimit when absent
	Items       bool   // watch: tell all items with each notification; default true
	Consistent  bool   // get
	MinIndex    uint64 // get
	Since       uint64 // watch; 0 when absent
	Version     uint64 // update remove: which item
	Once        string // push; "" when absent
	IfMatch     uint64 // push update remove, when Conditional
	Conditional bool   // ifMatch was given
}
