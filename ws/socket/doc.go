// Package socket carries WebSocket connections once they are upgraded: it reads
// their frames, writes what vera.Connection has, finds the silent and the slow, and
// closes as RFC 6455 section 7 wants.
//
// A Socket is the same on every back end. A back end only moves bytes: it calls
// Socket.arrived with what came, Socket.flush when more can be written, and
// Socket.finish when it is over; the other way it is a wire. One suite of
// conformance tests runs on all of them.
//
// Invariants:
//
//  1. An idle socket holds no buffer and one goroutine at most. Buffers come
//     from pools when bytes come or go.
//  2. One goroutine at a time reads, and one at a time writes: the one that made
//     Socket.writing busy. Whoever wakes a socket tries the write at once,
//     without blocking; a goroutine is started only for what did not go out.
//  3. Receive and Pull are called inside Socket.inside. Closed is called once,
//     by the last that leaves, and nothing is called after it.
//  4. What is pulled but not written is at most pullBytes, or one message.
//  5. Once closing has begun the socket is gone within closeWithin.
//  6. Frames leave whole and in order; control frames go between messages;
//     nothing follows a Close frame, and only one is ever sent.
//  7. Silence is never judged early: time in which the process stood still does
//     not count, and bytes that wait to be read are signs of life.
package socket
