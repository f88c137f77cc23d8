//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// launchArg makes this program start a replica in its own network namespace.
const launchArg = "launch"

// network is a bridge in this process's namespace, and a cable from it to each
// replica's.
type network struct{}

const (
	bridgeAddress = "10.77.0.254/24"
	networkPort   = 30000
)

func newNetwork() (*network, error) {
	for _, args := range []string{
		"link set lo up",
		"link add bridge type bridge",
		"addr add " + bridgeAddress + " dev bridge",
		"link set bridge up",
	} {
		if err := ip(args); err != nil {
			return nil, err
		}
	}
	return &network{}, nil
}

func (*network) host(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// attach gives the process of replica i its cable.
func (*network) attach(i, pid int) error {
	if err := ip(fmt.Sprintf("link add replica%d type veth peer name eth0 netns %d", i, pid)); err != nil {
		return err
	}
	return ip(fmt.Sprintf("link set replica%d master bridge up", i))
}

// plug pulls the cable of replica i, or puts it back.
func (*network) plug(i int, in bool) error {
	if in {
		return ip(fmt.Sprintf("link set replica%d up", i))
	}
	return ip(fmt.Sprintf("link set replica%d down", i))
}

// ip runs the command of that name.
func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// launch waits until its namespace has a cable, gives that its address, and
// becomes the program: so the program has this process's id.
func launch(args []string) error {
	address, program := args[0], args[1]
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("nobody attached the network: %w", err)
	}
	for _, args := range []string{"link set lo up", "addr add " + address + "/24 dev eth0", "link set eth0 up"} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return syscall.Exec(program, append([]string{filepath.Base(program)}, args[2:]...), os.Environ())
}
