// Fence shows what a fence is for: workers that lead one after the other count
// in a store, one of them is frozen in the middle of a step, and writes when it
// wakes up, long after another has taken over.
//
//	go -C examples run ./fence
//
// A worker leads, reads the count, thinks for a while, and writes the next one.
// That it leads it asks before the step. No clock helps it if it is stopped
// behind that: when it goes on it writes what it had in mind, and takes back
// what others have counted meanwhile.
//
// So each request brings the fence along, the version of the worker's item,
// which is higher with each new leader. The store remembers the highest that it has seen and
// refuses whoever comes with a lower one. It is all of ten lines; see store.go.
//
// The program does this twice, with a store that looks at the fence and with
// one that does not, and prints how many of the acknowledged counts are missing
// in the end: some, and none.
package main
