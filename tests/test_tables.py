"""Tables as text."""

from prunekit import Column, Number, Table


def test_columns_of_numbers_stand_to_the_right_and_values_that_do_not_exist_are_empty() -> None:
    columns = (Column("Class"), Column("Recall", ".1%"), Column("Note"))
    table = Table("By class", columns, [("cat", Number(0.5, spread=0.1), "few"), ("elephant", None, "")])
    assert str(table).splitlines() == [
        "By class",
        "Class     Recall  Note",
        "cat        50.0%  few",
        "elephant",
    ]


def test_a_table_without_rows_is_its_names() -> None:
    assert str(Table("", (Column("Class"), Column("Recall", ".1%")), [])) == "Class  Recall"
