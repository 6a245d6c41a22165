// Package sim runs whole clusters in one process and in fake time: real logs on
// disks and a network in memory (raft.Memory), real actors, and clients that
// speak to them as package ws does. Clients do what comes to their mind while
// peers crash, hang, are cut off and come back; then all heals, and package
// history judges what everybody was told.
//
// A seed says what a run does: how many peers, which faults when, what each
// client wants. Who of several goroutines comes first Go does not say, nor does
// hashicorp/raft say when it calls an election, so a seed that fails once may
// have to be run a few times: go test ./test/sim -run Runs -sim.seed N -sim.runs 50.
package sim
