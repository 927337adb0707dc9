"""Which labels of the public intent sets (Banking77, CLINC150) clearly are one of our intents."""

_OURS: dict[str, str] = {
    "complaint": """Refund_not_showing_up balance_not_updated_after_bank_transfer
        balance_not_updated_after_cheque_or_cash_deposit card_not_working contactless_not_working
        declined_card_payment declined_cash_withdrawal declined_transfer extra_charge_on_statement
        failed_transfer top_up_failed transaction_charged_twice transfer_not_received_by_recipient
        virtual_card_not_working wrong_amount_of_cash_received wrong_exchange_rate_for_cash_withdrawal
        card_payment_wrong_exchange_rate""",
    "question": """age_limit apple_pay_or_google_pay atm_support card_acceptance card_delivery_estimate
        country_support disposable_card_limits exchange_charge fiat_currency_support receiving_money
        supported_cards_and_currencies top_up_by_bank_transfer_charge top_up_limits transfer_timing
        visa_or_mastercard why_verify_identity apr balance bill_balance bill_due credit_limit exchange_rate
        expiration_date interest_rate international_fees min_payment order_status rewards_balance
        replacement_card_duration application_status""",
    "request": """activate_my_card cancel_transfer change_pin edit_personal_details get_physical_card
        getting_spare_card order_physical_card request_refund cancel_reservation credit_limit_change
        freeze_account insurance_change order_checks pay_bill pin_change report_lost_card""",
    "leaving": "terminate_account",
    "praise": "thank_you",
    "other": """alarm are_you_a_bot calculator change_volume cook_time date definition flip_coin food_last
        fun_fact goodbye greeting how_old_are_you maybe meaning_of_life next_song no play_music recipe
        roll_dice tell_joke timer todo_list weather what_are_your_hobbies what_is_your_name what_song
        where_are_you_from who_made_you yes""",
}
OUR_INTENT: dict[str, str] = {foreign: ours for ours, names in _OURS.items() for foreign in names.split()}
"""Foreign label -> our label. Labels not named here are topics, or fit several of ours, and are left out."""

INTENTS = ("complaint", "question", "request", "praise", "purchase", "leaving", "spam", "other")


def our_intent(label: str) -> str | None:
    """Return our word for an intent label: itself if it is ours, None if it has no clear counterpart."""
    return label if label in INTENTS else OUR_INTENT.get(label)


REASONS = ("outage", "quality", "delay", "cancelled", "lost", "billing", "account", "service", "other")
"""Why people complain: it does not work, it is poor, late, cancelled, lost or damaged or wrong, the money, sign-in or
booking or form, staff and answers, anything else."""

_OUR_REASON = {
    "Customer Service Issue": "service",
    "Flight Attendant Complaints": "service",
    "Late Flight": "delay",
    "longlines": "delay",
    "Cancelled Flight": "cancelled",
    "Lost Luggage": "lost",
    "Damaged Luggage": "lost",
    "Bad Flight": "quality",
    "Flight Booking Problems": "account",
    "Can't Tell": "other",
}


def our_reason(label: str) -> str | None:
    """Return our word for a reason: itself if it is ours, None if it has no counterpart."""
    return label if label in REASONS else _OUR_REASON.get(label)
