//go:build race

package bubble

// Raced says that the race detector runs, which makes all eight times slower.
const Raced = true
