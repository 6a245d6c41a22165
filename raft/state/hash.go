package state

import (
	"encoding/binary"
	"math/bits"
)

// Two odd constants without a pattern: the fractions of the golden ratio and
// of the square root of two.
const (
	golden = 0x9e3779b97f4a7c15
	root   = 0x6a09e667f3bcc909
)

// fold multiplies to 128 bits and folds the halves together.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// mix continues a hash with data. It is the multiply-and-fold scheme of wyhash
// (Wang Yi, "wyhash", 2019): fast and well spread, but no defence against
// somebody who looks for collisions. It is the same on every machine.
func mix(h uint64, data []byte) uint64 {
	h = fold(h^golden, uint64(len(data))^root)
	for len(data) >= 8 {
		h = fold(h^golden, binary.LittleEndian.Uint64(data)^root)
		data = data[8:]
	}
	if len(data) > 0 {
		var last [8]byte
		copy(last[:], data)
		h = fold(h^golden, binary.LittleEndian.Uint64(last[:])^root)
	}
	return h
}

// mixIndex continues a hash with a number.
func mixIndex(h, index uint64) uint64 { return fold(h^golden, index^root) }
