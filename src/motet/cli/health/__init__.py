"""What a machine needs to run Motet: `look` gathers facts, `checks` judges them (pure), `fix` installs what is missing."""
