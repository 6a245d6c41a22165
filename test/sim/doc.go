// Package sim runs whole clusters in one process and in fake time: real logs on
// disks and a network in memory (raft.Memory), real actors, and clients that
// speak to them as package ws does. Clients do what comes to their mind while
// peers crash, hang, are cut off and come back; then all heals, and package
// history judges what everybody was told.
//
// A guest is a client with one session. It speaks on one connection at a time;
// every third is a pair, which keeps a second one beside that, mostly to another
// peer, as real clients do, and now and then loses, leaves or moves it.
//
// Invariants that guests judge by themselves, beside those of package history:
//
//  1. A connection is of the life in which it was let in. When a guest knows that
//     one to be over, it may go on asking on what it has left: nothing of it may be
//     of the next life, and when all is quiet the server has closed it.
//  2. Who connects anew after that is not told that the session was resumed.
//  3. Of two changes of a list's watch on two peers the last counts, and which it is
//     only the log knows. So a pair changes the watch of a list at one of its
//     places only, and always to the same limit; then what the other connection is
//     told can be judged too.
//  4. A pair pushes on its second connection only once the log knows the life: two
//     first pushes that nobody answers may begin two lives, if one of them ends in
//     between.
//
// A seed says what a run does: how many peers, which faults when, what each
// client wants. Who of several goroutines comes first Go does not say, nor does
// hashicorp/raft say when it calls an election, so a seed that fails once may
// have to be run a few times: go test ./test/sim -run Runs -sim.seed N -sim.runs 50.
package sim
