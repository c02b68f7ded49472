package components

import "testing"

func testPasswords() Passwords {
	return Passwords{Key: []byte("01234567890123456789012345678901"), Stack: "prod", Project: "kubernetes", Generation: 1}
}

func derive(t *testing.T, p Passwords, account string) string {
	t.Helper()
	password, err := p.Derive(account)
	if err != nil {
		t.Fatal(err)
	}
	return password
}

// Another derivation (these values were computed by another implementation of RFC 5869) would change the passwords of every site at its next up.
func TestPasswordsStayTheSameOverReleases(t *testing.T) {
	for account, want := range map[string]string{
		AccountGrafanaAdmin:   "HTeXjum-kLhy0FnsPcbc7nEv5lzeleKk",
		AccountInfluxDBWriter: "CXWRr6TdZvJmvWvmV6BvRPRimCeNfuVV",
	} {
		if got := derive(t, testPasswords(), account); got != want {
			t.Errorf("%s: %q, want %q", account, got, want)
		}
	}
}

// Whoever knows one password knows no other.
func TestEveryPasswordIsAnother(t *testing.T) {
	variants := map[string]func(*Passwords){
		"the same":           func(*Passwords) {},
		"another key":        func(p *Passwords) { p.Key = []byte("x1234567890123456789012345678901") },
		"another stack":      func(p *Passwords) { p.Stack = "test" },
		"another project":    func(p *Passwords) { p.Project = "istio" },
		"another generation": func(p *Passwords) { p.Generation = 2 },
		// The same letters, cut elsewhere.
		"a shifted border": func(p *Passwords) { p.Stack, p.Project = "prodkube", "rnetes" },
	}
	seen := map[string]string{}
	for name, change := range variants {
		for _, account := range []string{AccountGrafanaAdmin, AccountGrafanaKey, AccountInfluxDBAdmin, AccountInfluxDBWriter, AccountInfluxDBReader} {
			p := testPasswords()
			change(&p)
			password := derive(t, p, account)
			if other, ok := seen[password]; ok {
				t.Errorf("%s of %s has the password of %s", account, name, other)
			}
			seen[password] = account + " of " + name
		}
	}
}
