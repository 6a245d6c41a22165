package raft

// fifo is a queue that keeps its memory, twice its largest size at most.
type fifo[T any] struct {
	ring []T // a power of two long
	from int
	size int
}

func (q *fifo[T]) len() int { return q.size }

// at returns the i-th oldest element. It is valid until the next push.
func (q *fifo[T]) at(i int) *T { return &q.ring[(q.from+i)&(len(q.ring)-1)] }

func (q *fifo[T]) push(x T) {
	if q.size == len(q.ring) {
		ring := make([]T, max(16, 2*len(q.ring)))
		for i := range q.size {
			ring[i] = *q.at(i)
		}
		q.ring, q.from = ring, 0
	}
	q.size++
	*q.at(q.size - 1) = x
}

func (q *fifo[T]) pop() {
	var none T
	*q.at(0) = none
	q.from = (q.from + 1) & (len(q.ring) - 1)
	q.size--
}
