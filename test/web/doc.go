// Package web tests what people see: pages in Chromium, with the JavaScript
// client that a peer serves, driven by the programs in this folder.
//
// Invariants: what went wrong in a page ends its program with an exception, and
// that fails the test; a page that writes an error to its console has gone
// wrong, but for what Chromium itself writes of connections while a peer is
// down; a program asks for what only the test can do, peers killed and started,
// by a line on its output; nothing waits without asking. Where Chromium or Node
// is missing the tests are skipped and say so, and fail if CI is set.
package web
