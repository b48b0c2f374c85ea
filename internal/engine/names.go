package engine

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"

	"gourd/internal/container"
)

// Names that gourd invents are a manner and something that grows on a vine or is kept in a gourd.
var (
	manners = strings.Fields(`amber agile airy balmy bold brave breezy bright brisk calm careful cheerful
		clear clever cosy curious dapper daring deft dreamy eager early easy elated fair fearless fleet fond
		frank free fresh friendly gallant gentle giddy glad golden grand happy hardy hasty hearty honest hopeful
		humble jolly jovial keen kind lively loyal lucid lucky mellow merry mighty modest neat nimble noble
		patient placid plucky polite proud quick quiet rapid ready robust rosy rustic serene sharp shining
		silent silver simple sincere sleek smiling snug solid spry steady stout sturdy sunny swift tame tender
		thrifty tidy tranquil true trusty upbeat vivid warm wise witty young zesty`)
	growths = strings.Fields(`calabash pumpkin squash melon cucumber loofah zucchini bottle dipper flask kettle
		ladle lantern vine tendril leaf blossom seed sprout bean pea grape kiwi hop ivy jasmine wisteria clematis
		honeysuckle morningglory passionflower sweetpea yam cassava lotus bamboo plum peach pear apricot quince
		persimmon lychee longan mulberry walnut chestnut ginkgo maple willow pine cedar juniper rosemary thyme
		sage basil fennel ginger pepper anise clove saffron tea rice millet barley oat sesame elixir nectar wine
		honey ink pearl jade brush scroll flute cricket cicada sparrow crane heron magpie swallow carp`)
)

func inventName() string {
	return manners[rand.IntN(len(manners))] + "_" + growths[rand.IntN(len(growths))]
}

// withName calls create with the given name, or with invented ones until one is free.
func (e *Engine) withName(given string, create func(name string) error) error {
	if given != "" {
		return create(strings.TrimPrefix(given, "/"))
	}
	for try := 0; ; try++ {
		name := inventName()
		if try > 3 {
			name += strconv.Itoa(rand.IntN(1 << 20))
		}
		if err := create(name); !errors.Is(err, container.ErrExists) || try > 20 {
			return err
		}
	}
}
