package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

func TestReflectionListsServicesWithComments(t *testing.T) {
	p := start(t)
	s, err := reflectionv1.NewServerReflectionClient(p.dial(t)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := s.Send(r); err != nil {
			t.Fatal(err)
		}
		out, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	var names []string
	for _, x := range list.GetListServicesResponse().GetService() {
		names = append(names, x.GetName())
	}
	want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "pbft.v1.AdminService", "pbft.v1.ClientService", "pbft.v1.CompatService"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("services %q, want %q", names, want)
	}
	file := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "pbft.v1.ClientService"}})
	comments := ""
	for _, b := range file.GetFileDescriptorResponse().GetFileDescriptorProto() {
		var fd descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(b, &fd); err != nil {
			t.Fatal(err)
		}
		for _, l := range fd.GetSourceCodeInfo().GetLocation() {
			comments += l.GetLeadingComments()
		}
	}
	if !strings.Contains(comments, "ClientService orders requests") {
		t.Error("the descriptor has no comments")
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	p := start(t)
	c := healthv1.NewHealthClient(p.dial(t))
	w, err := c.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			got, err := w.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if got.GetStatus() == want {
				return
			}
		}
	}
	until(healthv1.HealthCheckResponse_SERVING)
	p.locked(func() { p.ready = errors.New("alone") })
	p.server.Changed()
	until(healthv1.HealthCheckResponse_NOT_SERVING)
	p.locked(func() { p.ready = nil })
	until(healthv1.HealthCheckResponse_SERVING) // without being told, too
}

func TestAdminLimits(t *testing.T) {
	p := start(t)
	c := pbftv1.NewAdminServiceClient(p.dial(t))
	d, err := c.Dump(t.Context(), &pbftv1.DumpRequest{})
	if err != nil || d.GetNext() != defaultDump {
		t.Errorf("dump asked for %d bytes, %v", d.GetNext(), err)
	}
	l, err := c.ListLog(t.Context(), &pbftv1.ListLogRequest{From: 5})
	if err != nil || len(l.GetEntries()) != defaultLogLimit || l.GetEntries()[0].GetHeader().GetN() != 5 {
		t.Errorf("log has %d entries, %v", len(l.GetEntries()), err)
	}
	if _, err := c.Dump(t.Context(), &pbftv1.DumpRequest{LimitBytes: maxDump + 1}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := c.ListLog(t.Context(), &pbftv1.ListLogRequest{Limit: maxLogLimit + 1}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
	s, err := c.GetStatus(t.Context(), &pbftv1.GetStatusRequest{})
	if err != nil || s.GetIndex() != 2 {
		t.Errorf("status %v, %v", s, err)
	}
	if !slices.IsSortedFunc(s.GetCounters(), func(a, b *pbftv1.Counter) int { return strings.Compare(a.GetName(), b.GetName()) }) {
		t.Errorf("counters are not sorted: %v", s.GetCounters())
	}
}

func TestOrderOverGRPC(t *testing.T) {
	p := start(t)
	c := pbftv1.NewCompatServiceClient(p.dial(t))
	out, err := c.Order(t.Context(), &pbftv1.OrderRequest{Id: []uint64{1, 2}, Data: proto.String("x")})
	if err != nil || out.GetResult() != "1:x" || out.GetStatus() != "OK" {
		t.Errorf("%v, %v", out, err)
	}
	if _, err := c.Order(t.Context(), &pbftv1.OrderRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("empty: %v", err)
	}
}
