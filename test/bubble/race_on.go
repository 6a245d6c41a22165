//go:build race

package bubble

// raced says that the race detector runs.
const raced = true
