// Package faults holds what a cluster promises against what happens to it: it
// runs clusters of the real binary, breaks them as package cluster can, and
// checks what its clients were told.
package faults
