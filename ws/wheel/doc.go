// Package wheel keeps many deadlines cheaply: a hashed timing wheel as in Varghese
// and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 6.
//
// It reads no clock: whoever owns it tells it the time. Entries are parts of what
// they are about, so that setting a deadline allocates nothing.
//
// Invariants:
//
//  1. An entry fires once for each time it was set, and never before its deadline.
//  2. Told the time every tick, a wheel fires an entry less than one tick late.
//  3. Set, Remove and firing cost the same however many entries there are. An
//     entry that is further away than one turn is passed once a turn.
//
// A wheel is not safe for use by several goroutines.
package wheel
