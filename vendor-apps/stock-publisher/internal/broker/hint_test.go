package broker

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// words returns the words of a command as a shell understands them.
func words(t *testing.T, command string) []string {
	t.Helper()
	output, err := exec.Command("sh", "-c", `printf '%s\n' `+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
}

func TestCommandsInMessagesNameExactlyTheirQueue(t *testing.T) {
	for queue, pattern := range map[string]string{
		"MSFT": `^MSFT$`, "BRK.B": `^BRK\.B$`, "^GSPC": `^\^GSPC$`, "RDS/A": `^RDS/A$`, "ES=F": `^ES=F$`, "-A:b_c": `^-A:b_c$`,
		"it's": `^it's$`, "a b*$HOME": `^a b\*\$HOME$`, // no companies, but the shell must not mind
	} {
		if got, want := words(t, deleteCommand(queue)), []string{"rabbitmqctl", "delete_queue", "--", queue}; !slices.Equal(got, want) {
			t.Errorf("the words are %q, want %q", got, want)
		}
		want := []string{"rabbitmqctl", "set_policy", "--apply-to", "queues", "no-delivery-limit-" + queue, pattern, `{"delivery-limit":-1}`}
		if got := words(t, UnlimitedDeliveryCommand(queue)); !slices.Equal(got, want) {
			t.Errorf("the words are %q, want %q", got, want)
		}
	}
}
