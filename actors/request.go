package actors

import "vera"

// proceed takes a call that came, or one for which something came back.
func (c *connection) proceed(m *call) {
	switch {
	case m.answered: // it was given up
	case !m.parsed:
		c.read(m)
	case m.waited:
		m.waited = false
		c.act(m)
	default:
		m.request.Data = nil
		c.answer(m)
	}
}

// read parses a call, and has it wait for the index that it asks for.
func (c *connection) read(m *call) {
	m.parsed = true
	request, err := vera.ParseRequest(m.text, &c.system.limits)
	m.request, m.text = request, nil
	if err != nil {
		m.refusal = c.system.refusal(err)
		c.answer(m)
		return
	}
	if c.over {
		c.refuseEnded(m)
		return
	}
	least := max(m.request.MinIndex, m.request.Since)
	switch {
	case m.request.Path == vera.PeersPath && m.request.Action == vera.ActionWatch:
		c.act(m) // its etag is no index: there is nothing to wait for
	case m.request.Consistent:
		c.await(m)
		c.system.log.Barrier(func(_ uint64, err error) {
			m.err = err
			m.back()
		})
	case least > c.system.log.Machine().Applied():
		c.await(m)
		m.cancel = c.system.log.WhenApplied(least, m.back)
	default:
		c.act(m)
	}
}

// await holds a call that goes on when something has come back for it.
func (c *connection) await(m *call) {
	m.waited = true
	c.hold(m)
}

// act does what a call asks for.
func (c *connection) act(m *call) {
	m.cancel = nil
	switch m.request.Action {
	case vera.ActionGet:
		c.get(m)
	case vera.ActionPing:
		c.answer(m)
	default:
		if !c.calls.has(m) {
			c.hold(m)
		}
		c.session.box.lend(m)
	}
}

// get answers with the list as it is when the socket takes the answer. What
// was confirmed by the leader may still have to wait for an index.
func (c *connection) get(m *call) {
	switch least := m.request.MinIndex; {
	case m.err == nil && least > c.system.log.Machine().Applied():
		c.await(m)
		m.cancel = c.system.log.WhenApplied(least, m.back)
	default:
		c.answer(m)
	}
}
