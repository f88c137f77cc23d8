//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// configure chooses addresses and writes pbft.yaml.
func (c *cluster) configure(n int, f *fault, settings []string) error {
	ports, err := freePorts(2 * n)
	if err != nil {
		return err
	}
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = "127.0.0.1"
		if c.network != nil {
			hosts[i], ports[2*i], ports[2*i+1] = c.network.host(i), networkPort, networkPort+100
		}
		c.addrs = append(c.addrs, net.JoinHostPort(hosts[i], strconv.Itoa(ports[2*i])))
	}
	lines := merge([]string{
		fmt.Sprintf("loss%%: %v", f.loss),
		"history_bytes: 1 GiB", // all that a case orders, so that dumps are complete
		"history_keep: all",
		"data_dir: " + c.data(),
	}, f.settings, settings)
	return os.WriteFile(c.config(), configuration(hosts, ports, lines), 0o644)
}

// configuration is pbft.yaml.
func configuration(hosts []string, ports []int, settings []string) []byte {
	var b bytes.Buffer
	b.WriteString("nodes:\n")
	for i, host := range hosts {
		fmt.Fprintf(&b, "    - {host: %s, port: %d, peer_port: %d}\n", host, ports[2*i], ports[2*i+1])
	}
	for _, line := range settings {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

// merge puts settings together; of two with the same key the later one holds.
func merge(lists ...[]string) (all []string) {
	for _, line := range slices.Concat(lists...) {
		key, _, _ := strings.Cut(line, ":")
		all = slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, key+":") })
		all = append(all, line)
	}
	return all
}

func (c *cluster) config() string { return filepath.Join(c.dir, "pbft.yaml") }

func (c *cluster) log(i int) string { return filepath.Join(c.dir, fmt.Sprintf("server%d.log", i)) }

// data is where the replicas keep their directories.
func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) dataOf(i int) string { return filepath.Join(c.data(), strconv.Itoa(i)) }

// Ports are drawn from below those that the kernel gives to whoever connects, as
// one of these may be taken while its replica is down.
const (
	lowestPort   = 15_000
	localPorts   = "/proc/sys/net/ipv4/ip_local_port_range"
	highestPort  = 32_768 // where the kernel's begin, unless it says otherwise
	portAttempts = 10_000
)

// freePorts are ports of loopback that nobody listens at now.
func freePorts(n int) ([]int, error) {
	end := highestPort
	if text, err := os.ReadFile(localPorts); err == nil {
		if _, err := fmt.Sscan(string(text), &end); err != nil {
			return nil, fmt.Errorf("%s: %w", localPorts, err)
		}
	}
	if end < lowestPort+100*n {
		return nil, fmt.Errorf("%s begins at %d, so that a replica that is down may lose its port", localPorts, end)
	}
	var ports []int
	for range portAttempts {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(lowestPort+rand.IntN(end-lowestPort))))
		if err != nil {
			continue // taken
		}
		defer l.Close() // all at once, so that they differ
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, lowestPort, end)
}
