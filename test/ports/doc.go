// Package ports gives tests addresses on loopback for processes that are started
// later, or again: a port that was free a moment ago may be gone by then, for the
// kernel gives those of its own range to whoever listens on port 0 or dials.
//
// Invariants:
//
//   - A port lies below the kernel's own range (Linux: ip_local_port_range), so
//     that nobody has it by chance.
//   - Nobody who asks here, in any process, has it until it is given back: it is
//     taken by whoever holds the UDP port of the same number, which TCP does not
//     mind, and which the kernel takes back from a process that dies.
package ports
