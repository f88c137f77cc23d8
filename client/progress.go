package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressStep is how often the bar moves.
const progressStep = 100 * time.Millisecond

// progress is a bar of time that has passed; nil is one that nobody sees.
type progress struct {
	bar   *progressbar.ProgressBar
	since time.Time
	total time.Duration
}

// newProgress makes one, with a title, if w is a terminal.
func newProgress(w io.Writer, title string, total time.Duration) *progress {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progress{
		bar: progressbar.NewOptions64(total.Milliseconds(), progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(title), progressbar.OptionSetWidth(40),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false)),
		since: time.Now(), total: total,
	}
}

func (p *progress) step() {
	if p != nil { // an error of the bar is none of the benchmark
		_ = p.bar.Set64(min(time.Since(p.since), p.total).Milliseconds())
	}
}

func (p *progress) end() {
	if p != nil {
		_ = p.bar.Finish()
	}
}
