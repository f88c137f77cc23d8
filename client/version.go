package main

import (
	"runtime/debug"
	"sync"
)

// version describes the program: module version or revision, and Go's version.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "pbft client, unknown version"
	}
	return describeBuild(info)
})

func describeBuild(info *debug.BuildInfo) string {
	v := "pbft client"
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v += " " + info.Main.Version
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if revision := settings["vcs.revision"]; revision != "" {
		v += " revision " + revision[:min(12, len(revision))]
		if settings["vcs.modified"] == "true" {
			v += " with local changes"
		}
	}
	return v + " " + info.GoVersion
}
