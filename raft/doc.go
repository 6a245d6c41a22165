// Package raft agrees and remembers.
//
// It puts the commands of this peer into the log that all peers agree on, has
// the log drive the machine of package state, and tells what the log did. It
// owns the data directory: the log (package disk), snapshots, whose data it is,
// and the secret that the cluster's cookies are signed with. hashicorp/raft,
// imported as hraft, does the agreeing and is seen by nobody outside.
//
// The way of a command: Raft.Propose puts it into the proposer's queue; one
// goroutine numbers it, encodes it and hands it over to whoever leads, in
// batches of which two at most are under way; fsm applies it here when it is
// committed; the proposer finds it by its number and calls done. The way of a change: fsm
// puts it into the feed, which readers follow at their own pace. The way of an
// ending: fsm stamps the doubt on the graces' clock; when its grace has run out
// and this peer leads, graces passes a barrier and proposes the expiry. The way
// of a peer that is gone: nothing of it comes through the log, silences passes a
// barrier and proposes PeerGone; if it lives all the same, its fsm reads that,
// and its proposer takes the next incarnation.
//
// The way into a cluster: Open has a new directory found one (begin), join one
// (join) or form one with others (formation); the leader makes every change of
// it (change, leaving), an entry of the log each; what the log says of a peer is
// its card; and upkeep keeps that true, and finds the others again when no
// leader is heard.
//
// Peers speak through a network: calls, and streams, of package link or, in
// tests, of Memory. hashicorp/raft's questions go over streams of the kind
// "raft" (transport, serve, wire), entries to the leader over one of the kind
// "hand-over", who gives them to hashicorp/raft in rounds; ahead has a leader's
// followers write these while it does. nudges tell followers
// of a commit, watchDisk looks at the log.
//
// Invariants:
//
//  1. What was answered is durable and applied here: done, Barrier and
//     WhenApplied are called after the machine has it, never before.
//  2. A command is applied once at most. Its number (peer, incarnation,
//     sequence) is given when it is first handed over; the machine takes each
//     number once and in order; whatever might be lost is handed over again
//     until the log says what became of it. It gets another number only when
//     the log says that its incarnation is over: then it was not and will not be
//     applied by the old one. The commands of a peer keep their order through
//     all of that.
//  3. An error tells the truth: AppliedNo only of what was never handed over.
//     hashicorp/raft's futures are not asked. What the state holds that was
//     installed in place of the log was applied, but its replies are not in it:
//     that is told as AppliedUnknown.
//  4. Only the goroutine of hashicorp/raft that applies entries writes the
//     machine; everybody else reads it.
//  5. Versions rise for ever: a directory that was formed and lost its log, or
//     whose log and snapshot leave a gap, does not start; one that was made of
//     an archive begins far above it, with every list changed there.
//  6. An incarnation is durable before anything of it is proposed, and greater
//     than all before. PeerUp is the first of it.
//  7. No grace runs out early: its time is counted from when it was applied or
//     loaded here, and what a stalled process did not see is not counted.
//     Only a leader proposes an expiry, after an entry of its term, proposed
//     when the grace had run out, was applied. The same holds for declaring a
//     peer gone: of its silence only that counts in which marks could pass, and
//     in the term of who declares it they have passed for a pulse.
//  8. Linearizable means that an own mark, handed over after the question, was
//     applied. hashicorp/raft's VerifyLeader is not used. No two marks of an
//     incarnation have the same number, so a mark proves no more than that it
//     was handed over when it was: LeaderContact is never later than the truth.
//  9. After the first failed write or fsync nothing is written, voted for or
//     acknowledged any more: Options.Fatal ends the process.
//  10. Nothing is unbounded but what Propose and Barrier were given and did not
//     answer, for Options.Timeout at most: the feed by entries and bytes,
//     entries by bytes, batches by entries, bytes and number, also of what was
//     given up and is still under way; what waits for a round by bytes; hashes
//     by entries, marks under way by number.
//  11. A secret is in no log line and no error; its file may be read by its
//     owner only, or the start is refused.
//  12. Two peers that applied different logs find it out within two
//     pulses, as long as it is not 8,192 entries ago, and say so; see fellows.
//  13. Whose key is trusted: the peers of the latest configuration in the log;
//     and, as long as the log is not as far, those of a later one that was told
//     by one of them. What is told by who proved the secret only is a rumour: it
//     counts from when this peer hears neither a leader nor a majority until one
//     of those it knows hears a leader; it is never kept, and no reason to leave.
//     When a configuration is applied, all others are cut off. The cookies' key goes only to who proved the secret, from who proved it.
//  14. A directory is of one cluster for ever: of none before it promised itself,
//     founded or joined; then never of another. It is noted as formed, durably,
//     before its peer can get a vote, and does not start with an empty log after.
//  15. A new peer is promised to one founding at a time, and free again only by
//     the word of its founder, said after the promise, that it has given up.
//  16. A name is one peer's until that is removed; a Raft id never comes again.
//     Every change is asked for by Raft id, so it may be asked for twice. Who is
//     removed ends, formed or not, once a peer that it trusts tells it a later
//     configuration than the one it is known to have been in.
//  17. A heartbeat, like every question of another peer, is answered by
//     hashicorp/raft's main loop, and one append to a follower is under way at a
//     time. While a write to the log has been running for over a second nothing
//     is sent to other peers; after 30 seconds Options.Fatal ends the process.
//     A round begins when the one before is committed, or has taken 500 ms.
//  18. A nudge says only what is true of its term whenever it arrives: what it
//     calls committed its follower is known to have of that leader's log.
//  19. Entries may be on a follower's disk before they are on the leader's. Until
//     they are there too, nobody is told that they are committed, and nothing
//     of them is applied; see ahead.
//
// Locks: proposer, rounds, ahead, graces, silences, fellows, hashes, Feed, waiters,
// peers, book, guests and directory each have one; none of them calls another, or
// a function that was given to it, while it holds its own. (rounds, graces and
// silences ask whether this peer leads, read the machine, and count: all of it
// without a lock. silences and fellows ask peers who is a member; peers asks
// nobody. directory writes its file while it holds its own, so that what it says
// is durable.)
package raft
