// Package commands drives the command line as a person does: clusters on one
// machine, the operator's commands, and what a signal does. It holds tests
// only; each starts processes of its own and ends them, also when it fails.
package commands
