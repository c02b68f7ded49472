package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// paths are the two ways to what a site keeps: straight to the pod, and through nginx.
// The addresses are those within the cluster, where both ways begin at the node.
type paths struct {
	Host           string // that the site is called by
	Nginx          string // address:port
	InfluxDB       string
	Grafana        string
	WriterPassword string
}

// measureData compares the site as people reach it with its servers without nginx.
func measureData(repo, work string) (rows []row, err error) {
	b, err := newBench(repo, work)
	if err != nil {
		return nil, err
	}
	defer b.down(&err)
	if _, _, err := b.run("up"); err != nil {
		return nil, err
	}
	p, err := b.paths("kubernetes")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(work, "paths.json")
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	daemon, err := b.daemon()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	_, out, err := timed(repo, nil, "nsenter", "--target", fmt.Sprint(daemon.Init), "--net", self, "-load", file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 4 {
			rows = append(rows, row{f[0], f[1], f[2], f[3]})
		}
	}
	return rows, nil
}

// paths asks the cluster where a project's servers are.
func (b *bench) paths(project string) (paths, error) {
	ns := "-n velodrome-" + project
	var p paths
	var credentials map[string]struct{ InfluxDBWriterPassword string }
	var projects map[string]struct{ Host string }
	for _, ask := range []struct {
		command string
		into    any
	}{
		{"pulumi stack output --stack local --json credentials --show-secrets", &credentials},
		{"pulumi stack output --stack local --json projects", &projects},
	} {
		out, err := b.byHand(ask.command)
		if err == nil {
			err = decode([]byte(out), ask.into)
		}
		if err != nil {
			return p, err
		}
	}
	p.Host, p.WriterPassword = projects[project].Host, credentials[project].InfluxDBWriterPassword
	for _, ask := range []struct {
		command, port string
		into          *string
	}{
		{"kubectl " + ns + " get service nginx -o jsonpath='{.spec.clusterIP}'", "80", &p.Nginx},
		{"kubectl " + ns + " get pods -l app=influxdb -o jsonpath='{.items[0].status.podIP}'", "8086", &p.InfluxDB},
		{"kubectl " + ns + " get pods -l app=grafana -o jsonpath='{.items[0].status.podIP}'", "3000", &p.Grafana},
	} {
		address, err := b.byHand(ask.command)
		if err != nil {
			return p, err
		}
		*ask.into = address + ":" + ask.port
	}
	return p, nil
}
