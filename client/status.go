package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show where every replica stands",
		Long: `status asks every replica where it stands and prints a table: h is the last
stable checkpoint, executed and committed are batches, pending are requests that
wait to be ordered. With --json it prints the replicas' own words, one line of
JSON for each. A replica speaks for itself only, and may lie.

Exit codes: 0 at least a quorum answered, 1 fewer did.`,
		Args: numArgs(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.status(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each replica's answer as a line of JSON")
	return cmd
}

type statusAnswer = answer[*pbftv1.GetStatusResponse]

func getStatus(ctx context.Context, g grpc.ClientConnInterface) (*pbftv1.GetStatusResponse, error) {
	return pbftv1.NewAdminServiceClient(g).GetStatus(ctx, &pbftv1.GetStatusRequest{})
}

func (p *program) status(ctx context.Context, asJSON bool) error {
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	all, err := c.dial()
	if err != nil {
		return err
	}
	defer all.close()
	answers := askAll(ctx, all, askTimeout, getStatus)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out, err := statusTable(c, answers), error(nil)
	if asJSON {
		out, err = statusJSON(c, answers)
	}
	if err != nil {
		return err
	}
	if err := p.print(out); err != nil {
		return err
	}
	return checkQuorum(answers)
}

// checkQuorum compares how many answered with what they say a quorum is.
func checkQuorum(answers []statusAnswer) error {
	got, quorum := 0, uint32(1)
	for _, a := range answers {
		if a.err == nil {
			got++
			quorum = max(quorum, a.value.GetQuorum())
		}
	}
	switch {
	case got == 0:
		return fmt.Errorf("none of %d replicas answered", len(answers))
	case got < int(quorum):
		return fmt.Errorf("%d of %d replicas answered, a quorum is %d", got, len(answers), quorum)
	}
	return nil
}

func statusTable(c *cluster, answers []statusAnswer) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INDEX\tADDRESS\tSTATUS\tVIEW\tPRIMARY\tH\tEXECUTED\tCOMMITTED\tPENDING\tPEERS\tCLIENTS\tREASON")
	for i, a := range answers {
		if a.err != nil {
			fmt.Fprintf(w, "%d\t%s\tunreachable\t-\t-\t-\t-\t-\t-\t-\t-\t%s\n", i, c.addrs[i], printable(a.err.Error()))
			continue
		}
		s := a.value
		connected := 0
		for _, peer := range s.GetPeers() {
			if peer.GetConnected() {
				connected++
			}
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d/%d\t%d\t%s\n", i, c.addrs[i],
			strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "REPLICA_STATUS_")),
			s.GetView(), s.GetPrimary(), s.GetLowWatermark(), s.GetLastExecuted(), s.GetLastCommitted(),
			s.GetPendingRequests(), connected, len(s.GetPeers()), s.GetClients(), statusRemark(c, i, s))
	}
	_ = w.Flush() // into memory
	return trimLines(b.Bytes())
}

// statusRemark is the replica's own reason, or what is odd about its answer.
func statusRemark(c *cluster, i int, s *pbftv1.GetStatusResponse) string {
	if id := c.clusterID(); id != nil && !bytes.Equal(s.GetClusterId(), id[:]) {
		return fmt.Sprintf("of another cluster: %.8x…, not %.8x…", s.GetClusterId(), id[:])
	}
	if s.GetIndex() != uint32(i) {
		return fmt.Sprintf("says that it is replica %d", s.GetIndex())
	}
	return printable(s.GetStatusReason())
}

// trimLines removes the spaces that a table's last column leaves.
func trimLines(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		out = append(out, bytes.TrimRight(line, " \n")...)
		out = append(out, '\n')
	}
	return out
}

// printable keeps a replica's text from reaching the terminal as commands, and
// on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func statusJSON(c *cluster, answers []statusAnswer) ([]byte, error) {
	var b bytes.Buffer
	for i, a := range answers {
		line := struct {
			Index   int             `json:"index"`
			Address string          `json:"address"`
			Status  json.RawMessage `json:"status,omitempty"`
			Error   string          `json:"error,omitempty"`
		}{Index: i, Address: c.addrs[i]}
		if a.err != nil {
			line.Error = a.err.Error()
		} else {
			raw, err := (wire.Marshaler{}).Marshal(a.value)
			if err != nil {
				return nil, fmt.Errorf("status of replica %d: %w", i, err)
			}
			line.Status = raw
		}
		j, err := json.Marshal(line)
		if err != nil {
			return nil, fmt.Errorf("status of replica %d: %w", i, err)
		}
		b.Write(append(j, '\n'))
	}
	return b.Bytes(), nil
}

// short is a gRPC error without its wrapping.
func short(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	text := s.Message()
	// "connection error: desc = "transport: Error while dialing: dial tcp …""
	if _, inner, found := strings.Cut(text, "Error while dialing: "); found {
		text = strings.TrimSuffix(inner, `"`)
	}
	return text
}
