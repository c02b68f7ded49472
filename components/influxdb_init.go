package components

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/influxql"
)

// accounts are the passwords of InfluxDB's three accounts.
type accounts struct{ admin, writer, reader string }

// influxDBInitScript brings the volume to the declared statements.
//
//go:embed influxdb_init.sh
var influxDBInitScript string

// ensureStatements make what the apply statements then speak of. Each may fail for
// the reason that it has been carried out before.
func ensureStatements(databases map[string]time.Duration, a accounts) []string {
	statements := []string{
		createUser("admin", a.admin) + " WITH ALL PRIVILEGES",
		// Made anew, they have exactly the rights that are granted below.
		dropUser("writer"), createUser("writer", a.writer),
		dropUser("reader"), createUser("reader", a.reader),
		// As InfluxDB itself makes it at its first start, which comes later.
		`CREATE DATABASE "_internal" WITH DURATION 168h REPLICATION 1 SHARD DURATION 24h NAME "monitor"`,
	}
	for _, name := range sortedKeys(databases) {
		statements = append(statements, fmt.Sprintf("CREATE DATABASE %s WITH %s NAME %s",
			influxql.QuoteIdent(name), retention(databases[name]), influxql.QuoteIdent("autogen")))
	}
	return statements
}

// applyStatements set what is declared. Every one must succeed.
func applyStatements(databases map[string]time.Duration, a accounts) []string {
	statements := []string{
		setPassword("admin", a.admin),
		"GRANT ALL PRIVILEGES TO " + influxql.QuoteIdent("admin"),
		setPassword("writer", a.writer),
		setPassword("reader", a.reader),
		grant("READ", "_internal", "reader"),
	}
	for _, name := range sortedKeys(databases) {
		statements = append(statements,
			grant("WRITE", name, "writer"),
			grant("READ", name, "reader"))
	}
	return statements
}

// joinLines puts one statement on a line, as the init script reads them.
func joinLines(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// retentions has a line for each database: its name, and how its default retention
// policy keeps points. What that policy is called is known to the server alone: a new
// database's is autogen, one from before InfluxDB 1.0 has "default", and people name
// theirs as they like.
func retentions(databases map[string]time.Duration) []string {
	var lines []string
	for _, name := range sortedKeys(databases) {
		lines = append(lines, name+" "+retention(databases[name]))
	}
	return lines
}

// retention returns the clauses of a retention policy that keeps points for so long;
// zero is for ever.
func retention(keep time.Duration) string {
	duration := "INF"
	if keep > 0 {
		duration = influxql.FormatDuration(keep)
	}
	return fmt.Sprintf("DURATION %s REPLICATION 1 SHARD DURATION %s",
		duration, influxql.FormatDuration(shardDuration(keep)))
}

// shardDuration is how long each shard of such a policy lasts, as InfluxDB itself sets
// it for a new one. It does not adjust that of an existing one, and refuses to keep
// points for a shorter time than a shard lasts.
func shardDuration(keep time.Duration) time.Duration {
	const day = 24 * time.Hour
	switch {
	case keep == 0 || keep >= 180*day:
		return 7 * day
	case keep >= 2*day:
		return day
	default:
		return time.Hour
	}
}

func createUser(name, password string) string {
	return "CREATE USER " + influxql.QuoteIdent(name) + " WITH PASSWORD " + influxql.QuoteString(password)
}

func dropUser(name string) string { return "DROP USER " + influxql.QuoteIdent(name) }

func setPassword(name, password string) string {
	return "SET PASSWORD FOR " + influxql.QuoteIdent(name) + " = " + influxql.QuoteString(password)
}

func grant(right, database, user string) string {
	return fmt.Sprintf("GRANT %s ON %s TO %s", right, influxql.QuoteIdent(database), influxql.QuoteIdent(user))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
