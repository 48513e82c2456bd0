create or replace view df.modules with (security_barrier) as
select m.name, m.sha256, octet_length(m.content) as bytes, m.created_by, m.created_at from df._modules m
where m.unused_since is null;
comment on view df.modules is 'Python source pinned by content, but for what no workflow has pinned for a while and df.purge will remove';
