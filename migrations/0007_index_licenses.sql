-- Licenses of a product, of a customer, suspended or revoked, listed a page at a time in the order of their ids.
CREATE INDEX licenses_product ON licenses (product, id);
CREATE INDEX licenses_customer ON licenses (customer, id);
CREATE INDEX licenses_suspended ON licenses (id) WHERE suspended_at IS NOT NULL;
CREATE INDEX licenses_revoked ON licenses (id) WHERE revoked_at IS NOT NULL;
