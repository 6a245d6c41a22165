// Package peer gives an example the peer of Vera that it needs: one that runs
// already, or one of its own, built from this source tree, which lives and
// dies with the example.
//
// It is for trying out. Programs of yours get their peers' URLs from whoever
// runs them.
package peer
