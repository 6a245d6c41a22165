// Leader is a program that wants to lead and says each time that it does. Tests
// stop it, and see whether it ever says so when it must not.
//
// Invariants: the moment that it tells is from before it asked whether it
// leads, so nothing that stops it in between makes it seem wrong; whoever reads
// its words is its only owner: it ends with its standard input.
package main
