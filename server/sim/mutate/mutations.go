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
	stableFile  = "server/consensus/checkpoint.go"
	restoreFile = "server/consensus/restore.go"
	windowFile  = "server/execution/window.go"
	saveFile    = "server/execution/persist.go"
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
	{id: "m9", what: "a prepare leaves before its record is durable", patches: []patch{
		{acceptFile, "	r.vote(k, &message.Prepare{View: r.view, N: n, Digest: b.Digest})\n", "	r.vote(0, &message.Prepare{View: r.view, N: n, Digest: b.Digest})\n"},
	}},
	{id: "m10", what: "a commit leaves before its record is durable", patches: []patch{
		{prepareFile, "	r.vote(k, &message.Commit{View: r.view, N: s.n, Digest: s.digest})\n", "	r.vote(0, &message.Commit{View: r.view, N: s.n, Digest: s.digest})\n"},
	}},
	{id: "m11", what: "a view change leaves before its record is durable", patches: []patch{
		{viewsFile, "Send{To: Everyone, Msg: m, After: k})", "Send{To: Everyone, Msg: m})"},
	}},
	{id: "m12", what: "a checkpoint's vote leaves although the disk cannot give its state back", patches: []patch{
		{saveFile, "func (s *saver) owes() bool {\n", "func (s *saver) owes() bool { return false }\n\nfunc (s *saver) _() bool {\n"},
	}},
	{id: "m12a", what: "a checkpoint's vote leaves before its record is durable", patches: []patch{
		{stableFile, "Send{To: Everyone, Msg: v.own, After: k})", "Send{To: Everyone, Msg: v.own})"},
	}},
	{id: "m13", what: "the log discarded before the proof of its end is durable", patches: []patch{
		{stableFile, "	r.promise(k, promiseStable, n)\n	r.event(Event{Kind: EvStable, N: n})\n", "	_ = k\n	r.event(Event{Kind: EvStable, N: n})\n	r.stableDurable(n)\n"},
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
	{id: "m28", what: "P of an older view takes the place of a newer one", patches: []patch{
		{restoreFile, "(s.p.N == 0 || rec.View >= s.p.View)", "(s.p.N == 0 || rec.View <= s.p.View)"},
	}},
	{id: "m29", what: "P forgotten at a restart", patches: []patch{
		{restoreFile, "		s.p = message.PQ{N: rec.N, Digest: rec.Digest, View: rec.View}\n", ""},
	}},
	{id: "m29a", what: "Q forgotten at a restart", patches: []patch{
		{restoreFile, "		s.setQ(rec.Digest, rec.View)\n", ""},
	}},
	{id: "m30", what: "a fresh batch accepted at a number that the new view decided", patches: []patch{
		{acceptFile, "	case n <= r.top:\n		return BelowTop // rule 3\n", ""},
		{acceptFile, "	if s.accepted {\n		if s.digest != b.Digest {", "	if s.accepted && s.body(s.digest) != nil {\n		if s.digest != b.Digest {"},
		{acceptFile, "	assertf(!s.accepted, \"second acceptance at %d in view %d\", n, r.view)\n", ""},
	}},
	{id: "m34", what: "executed requests are executed again", patches: []patch{
		{windowFile, "	case c.executed(x):\n		return false, c.outcome(x, session)\n", ""},
	}},
	{id: "m41", what: "a replica that lost its disk votes at once", patches: []patch{
		{restoreFile, "		r.status, r.restart.restored = message.Starting, false\n", "		r.status, r.restart.restored = message.Normal, false\n"},
	}},
	{id: "m54", what: "f+1 view changes move nobody", scenario: "TestFPlusOneViewChangesMoveEverybody", patches: []patch{
		{viewsFile, "	if w := asked[r.f]; w > max(r.view, r.views.asked) {", "	if w := asked[r.f]; false && w > max(r.view, r.views.asked) {"},
	}},
	{id: "m56", what: "no fairness timer", patches: []patch{
		{suspectFile, "since, ok := r.oldestWatched(); ok && r.tick", "since, ok := r.oldestWatched(); false && ok && r.tick"},
	}},
	{id: "m61", what: "a primary that starts again goes on proposing", patches: []patch{
		{restoreFile, "	if r.started != 0 && r.isPrimary() && r.c.N > 1 {", "	if false {"},
	}},
	{id: "m63", what: "the own commit counts before its record is durable", patches: []patch{
		{prepareFile, "	r.promise(k, promiseCommit, s.n)\n", "	s.commits[r.c.Self] = ballot{r.gen(), s.digest}\n	r.promise(k, promiseCommit, s.n)\n	defer r.tryCommitted(s, ballot{r.gen(), s.digest})\n"},
	}},
}
