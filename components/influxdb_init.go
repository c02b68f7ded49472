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
		statements = append(statements,
			"CREATE DATABASE "+influxql.QuoteIdent(name),
			retentionPolicy("CREATE", name, databases[name]))
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
			retentionPolicy("ALTER", name, databases[name]),
			grant("WRITE", name, "writer"),
			grant("READ", name, "reader"))
	}
	return statements
}

// joinStatements puts one statement on a line, as the init script reads them.
func joinStatements(statements []string) string {
	return strings.Join(statements, "\n") + "\n"
}

// retentionPolicy speaks of autogen, the policy that InfluxDB gives to each new
// database, and makes it the default one.
func retentionPolicy(verb, database string, keep time.Duration) string {
	duration := "INF"
	if keep > 0 {
		duration = influxql.FormatDuration(keep)
	}
	return fmt.Sprintf(`%s RETENTION POLICY "autogen" ON %s DURATION %s REPLICATION 1 DEFAULT`,
		verb, influxql.QuoteIdent(database), duration)
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
