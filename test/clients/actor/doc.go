// Command actor drives the Go client for package clients, as actor.mjs does
// the JavaScript client: both speak clients.Command and clients.Line, and do
// nothing that they were not told to.
package main
