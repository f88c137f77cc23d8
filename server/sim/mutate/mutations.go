package main

// mutation is one rule switched off. The numbers are those of docs/protocol.md,
// section 13.3.
type mutation struct {
	id       string
	what     string
	scenario string // a test of package sim that catches it; empty: seeds do
	patches  []patch
}

// patch replaces a text that stands once in a file.
type patch struct{ file, old, new string }

const (
	prepareFile = "server/consensus/prepare.go"
	commitFile  = "server/consensus/commit.go"
	logFile     = "server/consensus/log.go"
	acceptFile  = "server/consensus/preprepare.go"
	decideFile  = "server/consensus/decide.go"
	newViewFile = "server/consensus/newview.go"
	viewsFile   = "server/consensus/views.go"
	replicaFile = "server/consensus/replica.go"
	suspectFile = "server/consensus/suspicion.go"
	windowFile  = "server/execution/window.go"
)

var mutations = []mutation{
	{id: "m1", what: "prepared with one vote less", patches: []patch{
		{prepareFile, "ballot{r.gen(), s.digest}) >= r.q\n", "ballot{r.gen(), s.digest}) >= r.q-1\n"},
	}},
	{id: "m2", what: "committed with one vote less", patches: []patch{
		{commitFile, "count(s.commits, v) >= r.q {", "count(s.commits, v) >= r.q-1 {"},
	}},
	{id: "m5", what: "a repeated vote counts as another one's", patches: []patch{
		{logFile, "	case v.gen < old.gen || *old == v:\n		return StaleVote\n", "	case *old == v:\n		for i := range votes {\n			if votes[i].gen == 0 {\n				votes[i] = v\n				return OK\n			}\n		}\n		return StaleVote\n	case v.gen < old.gen:\n		return StaleVote\n"},
	}},
	{id: "m8", what: "a second digest accepted at one number of one view", patches: []patch{
		{acceptFile, "		if s.digest != b.Digest {\n			return Equivocation // rule 4\n		}\n		return StaleVote\n", "		if s.digest == b.Digest {\n			return StaleVote\n		}\n"},
		{acceptFile, "	assertf(!s.accepted, \"second acceptance at %d in view %d\", n, r.view)\n", ""},
		{acceptFile, "	s.freshSize = len(b.Body)\n", "	r.freshBytes -= s.freshSize\n	s.prepared, s.prepareOK, s.commitOK = false, false, false\n	s.freshSize = len(b.Body)\n"},
	}},
	{id: "m14", what: "votes go on after the own view change", patches: []patch{
		{replicaFile, "{ return r.status == message.Normal }", "{ return r.status == message.Normal || r.status == message.Changing }"},
		{viewsFile, "	r.out.LiveGen = w + 1\n", ""},
	}},
	{id: "m16", what: "a new view installed although a higher one was asked for", patches: []patch{
		{newViewFile, "	case m.View <= r.view || m.View < r.views.asked:\n", "	case m.View <= r.view:\n"},
		{newViewFile, "a.chosen == nil || view < r.views.asked ||", "a.chosen == nil ||"},
	}},
	{id: "m17", what: "condition A1 skipped", patches: []patch{
		{decideFile, "d.conditionA1(n, e) && d.conditionA2(n, e)", "d.conditionA2(n, e)"},
	}},
	{id: "m18", what: "condition A2 skipped", patches: []patch{
		{decideFile, "d.conditionA1(n, e) && d.conditionA2(n, e)", "d.conditionA1(n, e)"},
	}},
	{id: "m19", what: "condition B with one view change less", patches: []patch{
		{decideFile, "m.H < n {\n			votes++\n		}\n	}\n	return votes >= d.q\n}\n\n// proposed", "m.H < n {\n			votes++\n		}\n	}\n	return votes >= d.q-1\n}\n\n// proposed"},
	}},
	{id: "m20", what: "B ignores h, and h is the lowest certified one", patches: []patch{
		{decideFile, "!ok && m.H < n {\n			votes++", "!ok {\n			votes++"},
		{decideFile, "case m.H > best.H:", "case m.H < best.H:"},
	}},
	{id: "m23", what: "a selected null batch dropped at the top", patches: []patch{
		{decideFile, "			return choice{digest: e.Digest}, true, true\n", "			return choice{digest: e.Digest}, e.Digest != d.c.Cluster.NullDigest(d.c.Epoch, n), true\n"},
	}},
	{id: "m24", what: "null batches do not enter P and Q", patches: []patch{
		{prepareFile, "	s.p = message.PQ{N: s.n, Digest: s.digest, View: r.view}\n", "	if s.digest != r.nullDigest(s.n) {\n		s.p = message.PQ{N: s.n, Digest: s.digest, View: r.view}\n	}\n"},
		{newViewFile, "	s.selectQ(d, r.view)\n", "	if d != r.nullDigest(n) {\n		s.selectQ(d, r.view)\n	}\n"},
	}},
	{id: "m25", what: "backups do not decide again", patches: []patch{
		{newViewFile, "if err != nil || x.digest(r.c.Cluster) != a.m.DecisionDigest {", "if err != nil {"},
	}},
	{id: "m26", what: "a new view accepted with one view change less", patches: []patch{
		{newViewFile, "	case len(m.ViewChanges) < r.q || len", "	case len(m.ViewChanges) < r.q-1 || len"},
		{newViewFile, "own := r.views.held[r.c.Self].m; len(set) < r.q ||", "own := r.views.held[r.c.Self].m; len(set) < r.q-1 ||"},
		{decideFile, "	return votes >= d.q\n}\n\n// conditionA2", "	return votes >= d.q-1\n}\n\n// conditionA2"},
		{decideFile, "	return votes >= d.q\n}\n\n// proposed", "	return votes >= d.q-1\n}\n\n// proposed"},
	}},
	{id: "m30", what: "a fresh batch accepted at a number that the new view decided", patches: []patch{
		{acceptFile, "	case n <= r.top:\n		return BelowTop // rule 3\n", ""},
		{acceptFile, "	if s.accepted {\n		if s.digest != b.Digest {", "	if s.accepted && s.body(s.digest) != nil {\n		if s.digest != b.Digest {"},
		{acceptFile, "	assertf(!s.accepted, \"second acceptance at %d in view %d\", n, r.view)\n", ""},
	}},
	{id: "m34", what: "executed requests are executed again", patches: []patch{
		{windowFile, "	case c.executed(x):\n		return false, c.outcome(x, session)\n", ""},
	}},
	{id: "m54", what: "f+1 view changes move nobody", patches: []patch{
		{viewsFile, "	if w := asked[r.f]; w > max(r.view, r.views.asked) {", "	if w := asked[r.f]; false && w > max(r.view, r.views.asked) {"},
	}},
	{id: "m56", what: "no fairness timer", patches: []patch{
		{suspectFile, "since, ok := r.oldestWatched(); ok && r.tick", "since, ok := r.oldestWatched(); false && ok && r.tick"},
	}},
}
