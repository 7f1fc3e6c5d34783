package broker

import (
	"regexp"
	"strings"
)

// plainWord matches what a shell takes literally.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./:-]*$`)

// shellWord quotes a word for a shell.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// deleteCommand returns the command that deletes a queue.
func deleteCommand(queue string) string {
	// -- because a name may begin with a hyphen.
	return "rabbitmqctl delete_queue -- " + shellWord(queue)
}

// UnlimitedDeliveryCommand returns the command that lifts the delivery limit of a
// queue by a policy.
func UnlimitedDeliveryCommand(queue string) string {
	return "rabbitmqctl set_policy --apply-to queues " + shellWord("no-delivery-limit-"+queue) + " " +
		shellWord("^"+regexp.QuoteMeta(queue)+"$") + ` '{"delivery-limit":-1}'`
}
