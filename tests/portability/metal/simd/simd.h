// Nothing: naga includes this and uses none of it.
