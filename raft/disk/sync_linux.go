package disk

import (
	"os"
	"syscall"
)

// syncData puts what was written to f on the disk, without the times of the file.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
