package descriptor_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/timestamppb" // stands for what a program links

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire/descriptor"
)

// files are those of proto/, whose services reflection describes.
var files = []string{
	pbftv1.File_pbft_v1_admin_proto.Path(),
	pbftv1.File_pbft_v1_client_proto.Path(),
	pbftv1.File_pbft_v1_compat_proto.Path(),
	pbftv1.File_pbft_v1_peer_proto.Path(),
	pbftv1.File_pbft_v1_types_proto.Path(),
}

func resolver(t *testing.T) protodesc.Resolver {
	t.Helper()
	r, err := descriptor.Resolver()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryServiceAndCallHasItsComment(t *testing.T) {
	r := resolver(t)
	for _, path := range files {
		file, err := r.FindFileByPath(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			wantComment(t, service)
			for j := range service.Methods().Len() {
				wantComment(t, service.Methods().Get(j))
			}
		}
	}
}

func wantComment(t *testing.T, d protoreflect.Descriptor) {
	t.Helper()
	comment := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	if strings.TrimSpace(comment) == "" {
		t.Errorf("%s has no comment", d.FullName())
	}
}

func TestTheSetSaysWhatTheGeneratedCodeSays(t *testing.T) {
	r := resolver(t)
	for _, path := range files {
		generated, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err != nil {
			t.Fatal(err)
		}
		own, err := r.FindFileByPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(bare(own), bare(generated)) {
			t.Errorf("%s differs from the generated code; run make generate\ngot  %v\nwant %v", path, bare(own), bare(generated))
		}
	}
}

// bare is a file's descriptor without its comments.
func bare(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	fd := protodesc.ToFileDescriptorProto(file)
	fd.SourceCodeInfo = nil
	return fd
}

func TestResolverFindsWhatIsLinked(t *testing.T) {
	r := resolver(t)
	for _, path := range []string{"google/protobuf/timestamp.proto", files[0]} {
		if _, err := r.FindFileByPath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, name := range []protoreflect.FullName{"google.protobuf.Timestamp", "pbft.v1.ClientService"} {
		if _, err := r.FindDescriptorByName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.FindFileByPath("no/such.proto"); err == nil {
		t.Error("found a file that does not exist")
	}
}
