package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
)

// logs are the loggers of a process.
type logs struct {
	process  *slog.Logger   // what concerns all replicas
	replicas []*slog.Logger // in the order of the indices
	files    []*os.File
}

// openLogs makes one logger per replica, on stderr or on a file of its own.
func openLogs(stderr io.Writer, o *options, indices []int) (*logs, error) {
	level, err := o.level()
	if err != nil {
		return nil, misused{err}
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return nil, misused{fmt.Errorf("--log-format is %q, allowed are text and json", o.logFormat)}
	}
	l := &logs{process: slog.New(handler(stderr, o.logFormat, level))}
	for _, i := range indices {
		base := l.process
		if o.logToFile {
			f, err := os.OpenFile("log_"+strconv.Itoa(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				l.close()
				return nil, failed{fmt.Errorf("log of replica %d: %w", i, err)}
			}
			l.files = append(l.files, f)
			base = slog.New(handler(f, o.logFormat, level))
		}
		l.replicas = append(l.replicas, base.With("replica", i))
	}
	if o.logToFile && len(indices) == 1 {
		l.process = l.replicas[0] // stderr stays empty, as in the proof of concept
	}
	return l, nil
}

// level is the level asked for; a log file is at level debug unless the
// command line says otherwise.
func (o *options) level() (slog.Level, error) {
	if bool(o.logToFile) && !o.levelGiven {
		return slog.LevelDebug, nil
	}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[o.logLevel]
	if !ok {
		return 0, fmt.Errorf("--log-level is %q, allowed are debug, info, warn and error", o.logLevel)
	}
	return level, nil
}

func handler(w io.Writer, format string, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

func (l *logs) close() {
	for _, f := range l.files {
		_ = f.Close() // nobody is left to tell
	}
}
