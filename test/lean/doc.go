// Package lean is a WebSocket client that costs a load test next to nothing:
// it masks with zeros, which RFC 6455 allows, hands out what it reads without
// a copy, and keeps one request under way.
//
// Invariants: a Client belongs to one goroutine at a time; what Receive
// returned is valid until the next call; pings are answered by whoever reads.
package lean
