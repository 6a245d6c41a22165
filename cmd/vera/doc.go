// Command vera is the server and the command line of Vera: it joins the rooms
// and knows them all, but decides nothing itself.
//
// Invariants:
//
//  1. Settings come from flags, then the environment, then the file of
//     --config, then the defaults. Whatever is wrong with them is told at once,
//     all of it, before anything is opened.
//  2. Rooms are opened from the bottom up (raft, actors, ws) and closed the
//     other way round. Whoever is told an address can use it.
//  3. Errors arrive here once and are logged or printed here, once.
//  4. A command that may run only while something holds runs under a guard, a
//     process of its own, and no part of it outlives the moment that was last
//     told: the guard, vera and the kernel each see to that for the others.
package main
