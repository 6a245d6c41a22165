package actors

// doubted takes the word that the majority of the cluster is out of touch, or
// back.
func (s *session) doubted(suspended bool) {
	if suspended {
		s.worry()
		return
	}
	s.relieve()
}

// worry tells the connections that the majority is out of touch, when it is
// and there is something to lose: items or watches.
func (s *session) worry() {
	if !s.system.manager.suspended.Load() || len(s.watches) == 0 && !s.holds() {
		return
	}
	s.doubting = true
	for _, c := range s.connections {
		c.box.post(&doubt{suspended: true})
	}
}

func (s *session) holds() bool {
	living := s.system.log.Machine().Session(s.id)
	return living != nil && living.Life() == s.life && living.ItemCount() > 0
}

// relieve tells who was told of a doubt that it is over: once the log counts
// this peer again, as a peer that was cut off may have been declared gone. The
// clients of a session that ended are told that instead, when it is heard of.
func (s *session) relieve() {
	if !s.doubting || s.system.manager.suspended.Load() {
		return
	}
	if s.life != 0 {
		living := s.system.log.Machine().Session(s.id)
		if living == nil || living.Life() != s.life || !s.system.attached(living) {
			return
		}
	}
	s.doubting = false
	for _, c := range s.connections {
		c.box.post(&doubt{suspended: false})
	}
}
