//go:build unix

package file

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lockEnv names the lock that a child process of these tests is to take.
const lockEnv = "FILE_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(lockEnv); name != "" {
		_, err := Lock(name)
		fmt.Println(err)
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it
		os.Exit(0)                           // and the lock with it
	}
	os.Exit(m.Run())
}

// lockInChild tries a lock in another process, and gives that process's number,
// what became of the lock, and how to end the process.
func lockInChild(t *testing.T, name string) (pid int, said string, end func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), lockEnv+"="+name)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid, strings.TrimSuffix(said, "\n"), func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestALockHasOneHolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	held, err := Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("process %d: stop that process, or name another directory", os.Getpid())
	if _, err := Lock(name); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), name+" is locked by this process, ") {
		t.Errorf("in the same process: %v", err)
	}
	_, said, end := lockInChild(t, name)
	end()
	if !strings.HasSuffix(said, want) {
		t.Errorf("in another process: %s, want %s", said, want)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(name)
	if err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
	again.Close()
}

func TestALockEndsWithItsProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	pid, said, end := lockInChild(t, name)
	if said != "<nil>" {
		t.Fatal(said)
	}
	_, err := Lock(name)
	if want := fmt.Sprintf("by process %d:", pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("while the other lives: %v, want %q", err, want)
	}
	end()
	held, err := Lock(name)
	if err != nil {
		t.Fatalf("after the other has gone: %v", err)
	}
	defer held.Close()
	if b, err := os.ReadFile(name); err != nil || string(b) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the lock file holds %q, error %v", b, err)
	}
	if _, err := Lock(filepath.Join(name, "below")); err == nil {
		t.Error("a lock below a file")
	}
}
