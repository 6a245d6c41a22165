package peer

import (
	"os"
	"os/exec"
)

// Again starts the running program once more, as a process of its own with
// these arguments. Whoever started it ends it with End.
func Again(arguments ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process := exec.Command(self, arguments...)
	process.Stdout, process.Stderr = os.Stdout, os.Stderr
	process.SysProcAttr = Dependent()
	return process, process.Start()
}

// End tells a process to end, and waits until it has.
func End(process *exec.Cmd) {
	_ = process.Process.Signal(os.Interrupt) // fails when it is over already
	_ = process.Wait()                       // killed ones say so, and that is no news
}
