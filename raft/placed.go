package raft

// placed is a heap.Interface of things that know where they stand, so that
// they can be taken out or moved from there.
type placed[T placeable[T]] []T

// placeable is what a placed heap holds. A place of -1 is none.
type placeable[T any] interface {
	before(other T) bool
	stand(place int)
}

// Len is how many there are.
func (h placed[T]) Len() int { return len(h) }

// Less says which of two comes first.
func (h placed[T]) Less(i, j int) bool { return h[i].before(h[j]) }

// Swap has two change places.
func (h placed[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].stand(i)
	h[j].stand(j)
}

// Push adds the last element.
func (h *placed[T]) Push(x any) {
	e := x.(T)
	e.stand(len(*h))
	*h = append(*h, e)
}

// Pop takes the last element away.
func (h *placed[T]) Pop() any {
	old := *h
	e := old[len(old)-1]
	clear(old[len(old)-1:])
	*h = old[:len(old)-1]
	e.stand(-1)
	return e
}
